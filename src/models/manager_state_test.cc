#include "models/manager_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::FakeOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ManagerStateTest : public test::ManagerFixture {};

TEST_F(ManagerStateTest, RefusesBadArguments) {
  EXPECT_EQ(ManagerState::Create(0, source_.source()).error().code(), ErrorCode::kInvalidArgument);
  Start(1);
  EXPECT_EQ(Get("").error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(manager_->GetOrLoad("m", ModelConfig(), {}).error().ToString(),
              HasSubstr("model_name"));
  EXPECT_EQ(source_.loads, 0);
}

TEST_F(ManagerStateTest, LoadsOnceAndCountsEveryUse) {
  Start(2);
  const auto first = Get("m");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->model_id(), "m");
  EXPECT_EQ(first->description().family, "fake");
  EXPECT_EQ(Uses("m"), 1);  // the load is its first use
  ASSERT_TRUE(Get("m"));
  ASSERT_TRUE(first->Acquire());
  EXPECT_EQ(Uses("m"), 3);
  EXPECT_EQ(source_.loads, 1);
  const auto info = manager_->registry().Peek("m");
  EXPECT_EQ(info->memory_mb, 2.5);  // measured, not estimated
  EXPECT_EQ(first->memory_bytes(), 2'500'000u);
  EXPECT_EQ(info->config->model_name, "m");
}

TEST_F(ManagerStateTest, EvictsTheLeastRecentlyUsedAndItsMemoryReturns) {
  Start(2);
  ASSERT_TRUE(Get("a"));
  const auto b = Get("b");
  ASSERT_TRUE(Get("a"));
  ASSERT_TRUE(b);
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->registry().ListModels(), ElementsAre("a", "c"));
  EXPECT_EQ(source_.alive, 2);  // a kept handle keeps no weights
}

TEST_F(ManagerStateTest, UseThroughAHandleKeepsAModelRecent) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  ASSERT_TRUE(a->Acquire());
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->registry().ListModels(), ElementsAre("a", "c"));
}

TEST_F(ManagerStateTest, AHandleLoadsItsEvictedModelAgain) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  EXPECT_FALSE(manager_->registry().IsLoaded("a"));
  const auto model = a->Acquire();
  ASSERT_TRUE(model);
  EXPECT_EQ(FakeOf(*model).name, "a");
  EXPECT_EQ(source_.loads, 3);
  EXPECT_THAT(manager_->registry().ListModels(), ElementsAre("a"));
}

TEST_F(ManagerStateTest, AnEvictedModelInUseStaysWholeAndComesBackWithoutALoad) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  auto in_use = a->Acquire();
  ASSERT_TRUE(in_use);
  ASSERT_TRUE(Get("b"));
  EXPECT_EQ(source_.alive, 1 + 1);
  EXPECT_EQ(FakeOf(*in_use).name, "a");

  const auto again = a->Acquire();  // no second copy in memory
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *in_use);
  EXPECT_EQ(source_.loads, 2);
  EXPECT_THAT(manager_->registry().ListModels(), ElementsAre("a"));
  EXPECT_EQ(source_.alive, 1);
}

TEST_F(ManagerStateTest, AReloadThatFailsLeavesTheHandleUsable) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  bool fail = true;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    if (fail) return Err(ErrorCode::kIo, "disk gone");
    return {};
  };
  EXPECT_EQ(a->Acquire().error().ToString(), "disk gone");
  EXPECT_TRUE(manager_->registry().IsLoaded("b"));  // a failed load evicts nobody
  fail = false;
  EXPECT_TRUE(a->Acquire());
}

TEST_F(ManagerStateTest, AfterUnloadOldHandlesAreVoidForGood) {
  Start(2);
  const auto old = Get("a");
  ASSERT_TRUE(old);
  EXPECT_TRUE(manager_->Unload("a"));
  EXPECT_FALSE(manager_->Unload("a"));
  EXPECT_EQ(source_.alive, 0);
  EXPECT_EQ(old->Acquire().error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(old->Acquire().error().ToString(), HasSubstr("'a' was unloaded"));

  const auto fresh = Get("a");
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Acquire());
  EXPECT_FALSE(old->Acquire());
}

TEST_F(ManagerStateTest, UnloadOfAnEvictedModelVoidsItsHandles) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  EXPECT_FALSE(manager_->Unload("a"));  // it is not there
  EXPECT_FALSE(a->Acquire());
}

TEST_F(ManagerStateTest, ClearAllVoidsEveryHandleAndDropsForeignObjects) {
  Start(3);
  manager_->ClearAll();  // when empty
  const auto a = Get("a");
  const auto b = Get("b");
  ASSERT_TRUE(a && b);
  ModelRegistry::Entry entry;
  entry.foreign = std::make_shared<int>(1);
  ASSERT_TRUE(manager_->registry().Register("object", std::move(entry)));
  manager_->ClearAll();
  EXPECT_THAT(manager_->registry().ListModels(), IsEmpty());
  EXPECT_EQ(source_.alive, 0);
  EXPECT_FALSE(a->Acquire());
  EXPECT_FALSE(b->Acquire());
  EXPECT_TRUE(Get("a"));
}

TEST_F(ManagerStateTest, HandlesOutliveTheManager) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  auto held = a->Acquire();
  ASSERT_TRUE(held);
  manager_->Close();
  manager_.reset();
  EXPECT_EQ(source_.alive, 1);
  EXPECT_EQ(FakeOf(*held).name, "a");
  EXPECT_EQ(a->Acquire().error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(a->Acquire().error().ToString(), HasSubstr("the manager of model 'a' is gone"));
  EXPECT_EQ(a->model_id(), "a");
  EXPECT_EQ(a->description().family, "fake");
}

TEST_F(ManagerStateTest, AClosedManagerStillHeldByACallRefuses) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  manager_->Close();
  EXPECT_THAT(a->Acquire().error().ToString(), HasSubstr("is gone"));
  EXPECT_THAT(Get("a").error().ToString(), HasSubstr("is gone"));
}

TEST_F(ManagerStateTest, AConfigThatWouldLoadDifferentlyIsAConflict) {
  Start(2);
  const ModelConfig config = ModelConfig::ForTier3("m");
  ASSERT_TRUE(manager_->GetOrLoad("id", config, {}));
  const struct {
    std::function<void(ModelConfig&)> change;
    const char* message;
  } cases[] = {
      {[](ModelConfig& c) { c.model_name = std::string("n"); },
       "loaded with model_name 'm', not 'n'"},
      {[](ModelConfig& c) { c.device = std::string("cuda:1"); },
       "loaded with device 'cpu', not 'cuda:1'"},
      {[](ModelConfig& c) { c.quantization = QuantizationType::kInt8; },
       "loaded with quantization 'int4', not 'int8'"},
      {[](ModelConfig& c) { c.torch_dtype = "float16"; },
       "loaded with torch_dtype 'auto', not 'float16'"},
      {[](ModelConfig& c) { c.max_length = 4096; }, "loaded with max_length '2048', not '4096'"},
      {[](ModelConfig& c) { c.cache_dir = "/elsewhere"; },
       "loaded with cache_dir '', not '/elsewhere'"},
  };
  for (const auto& conflict : cases) {
    ModelConfig other = config;
    conflict.change(other);
    const auto handle = manager_->GetOrLoad("id", other, {});
    ASSERT_FALSE(handle) << conflict.message;
    EXPECT_EQ(handle.error().code(), ErrorCode::kFailedPrecondition);
    EXPECT_THAT(handle.error().ToString(), HasSubstr(conflict.message));
  }
  EXPECT_EQ(Uses("id"), 1);  // a refused request is no use

  ModelConfig same = config;
  same.device = std::string("cpu");  // what "auto" stands for
  same.torch_dtype = "auto";
  same.tier = ModelTier::kTier2;
  same.temperature = 0.1;
  same.batch_size = 8;
  EXPECT_TRUE(manager_->GetOrLoad("id", same, {}));
}

TEST_F(ManagerStateTest, AnEvictedIdMayComeBackWithAnotherConfig) {
  Start(1);
  const auto old = Get("a");
  ASSERT_TRUE(old);
  ASSERT_TRUE(Get("b"));
  ModelConfig other = ModelConfig::ForTier3("a");
  other.quantization = QuantizationType::kInt8;
  const auto fresh = manager_->GetOrLoad("a", other, {});
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Acquire());
  EXPECT_FALSE(old->Acquire());  // it would compute with another model than it was made for
}

TEST_F(ManagerStateTest, AnIdTakenByAForeignObjectIsRefused) {
  Start(2);
  ModelRegistry::Entry entry;
  entry.foreign = std::make_shared<int>(1);
  ASSERT_TRUE(manager_->registry().Register("m", std::move(entry)));
  EXPECT_EQ(Get("m").error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(Uses("m"), 0);
}

TEST_F(ManagerStateTest, AModelUnregisteredThroughTheRegistryCountsAsEvicted) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  EXPECT_TRUE(manager_->registry().Unregister("a"));
  EXPECT_TRUE(a->Acquire());
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerStateTest, AModelThatTheApplicationRegisteredIsAHit) {
  Start(2);
  const auto old = Get("m");
  ASSERT_TRUE(old);
  ASSERT_TRUE(manager_->registry().Unregister("m"));
  ModelRegistry::Entry entry;
  entry.config = ModelConfig::ForTier3("m");
  entry.model = source_.source().load(*entry.config, {}).value();
  ASSERT_TRUE(manager_->registry().Register("m", std::move(entry)));
  EXPECT_FALSE(old->Acquire());  // made for another object
  const auto fresh = Get("m");
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Acquire());
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerStateTest, AFreedModelMayCallTheManager) {
  Start(1);
  for (const char* id : {"evicted", "unloaded", "cleared"}) {
    const auto handle = Get(id);
    ASSERT_TRUE(handle);
    // Hangs if a lock is held around the destructor.
    FakeOf(handle->Acquire().value()).on_destroy = [this] { manager_->Unload("nobody"); };
  }
  EXPECT_TRUE(Get("last"));
  EXPECT_TRUE(manager_->Unload("last"));
  manager_->ClearAll();
}

}  // namespace
}  // namespace mdsa
