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
  EXPECT_EQ(ManagerState::Create({Options(0), {}, nullptr, source_.source()}).error().code(),
            ErrorCode::kInvalidArgument);
  Start(1);
  EXPECT_EQ(Get("").error().code(), ErrorCode::kInvalidArgument);
  const ModelConfig unnamed;
  EXPECT_THAT(manager_->GetOrLoad("m", &unnamed, {}).error().ToString(), HasSubstr("model_name"));
  EXPECT_EQ(manager_->GetOrLoad("m", nullptr, {}).error().code(), ErrorCode::kNotFound);
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
  ASSERT_TRUE(first->Lease());
  EXPECT_EQ(Uses("m"), 3);
  EXPECT_EQ(source_.loads, 1);
  const auto info = manager_->Peek("m");
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
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a", "c"));
  EXPECT_EQ(source_.alive, 2);  // a kept handle keeps no weights
}

TEST_F(ManagerStateTest, UseThroughAHandleKeepsAModelRecent) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  ASSERT_TRUE(a->Lease());
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a", "c"));
}

TEST_F(ManagerStateTest, AHandleLoadsItsEvictedModelAgain) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  EXPECT_FALSE(manager_->IsLoaded("a"));
  const auto model = a->Lease();
  ASSERT_TRUE(model);
  EXPECT_EQ(FakeOf(*model).name, "a");
  EXPECT_EQ(source_.loads, 3);
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a"));
}

TEST_F(ManagerStateTest, AModelInUseIsNeverEvicted) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  auto in_use = a->Lease();
  ASSERT_TRUE(in_use);
  const auto refused = Get("b", AtOnce());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("'a' (2 MB, in use by 1 call)"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a"));
  EXPECT_EQ(FakeOf(*in_use).name, "a");
  in_use->Release();
  EXPECT_TRUE(Get("b", AtOnce()));
  EXPECT_EQ(source_.alive, 1);
}

TEST_F(ManagerStateTest, AReloadThatFailsLeavesTheHandleUsable) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  ASSERT_TRUE(Get("c"));
  bool fail = true;
  source_.before_load = [&](const ModelConfig&, const LoadOptions&) -> Status {
    if (fail) return Err(ErrorCode::kIo, "disk gone");
    return {};
  };
  EXPECT_EQ(a->Lease().error().ToString(), "disk gone");
  fail = false;
  EXPECT_TRUE(a->Lease());
}

TEST_F(ManagerStateTest, ACheckpointThatCannotBeDescribedEvictsNobody) {
  Start(1);
  ASSERT_TRUE(Get("a"));
  source_.before_needs = [](const ModelConfig&) -> Status {
    return Err(ErrorCode::kNotFound, "no such folder");
  };
  EXPECT_EQ(Get("b").error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a"));
  EXPECT_EQ(source_.loads, 1);
}

TEST_F(ManagerStateTest, AfterUnloadOldHandlesAreVoidForGood) {
  Start(2);
  const auto old = Get("a");
  ASSERT_TRUE(old);
  EXPECT_TRUE(Unload("a"));
  EXPECT_FALSE(Unload("a"));
  EXPECT_EQ(source_.alive, 0);
  EXPECT_EQ(old->Lease().error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(old->Lease().error().ToString(), HasSubstr("'a' was unloaded"));

  const auto fresh = Get("a");
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Lease());
  EXPECT_FALSE(old->Lease());
}

TEST_F(ManagerStateTest, UnloadOfAnEvictedModelVoidsItsHandles) {
  Start(1);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  ASSERT_TRUE(Get("b"));
  EXPECT_FALSE(Unload("a"));  // it is not there
  EXPECT_FALSE(a->Lease());
}

TEST_F(ManagerStateTest, ClearAllVoidsEveryHandleAndDropsForeignObjects) {
  Start(3);
  manager_->ClearAll();  // when empty
  const auto a = Get("a");
  const auto b = Get("b");
  ASSERT_TRUE(a && b);
  ModelRegistry::Entry entry;
  entry.foreign = std::make_shared<int>(1);
  ASSERT_TRUE(manager_->Register("object", std::move(entry)));
  manager_->ClearAll();
  EXPECT_THAT(manager_->ListModels(), IsEmpty());
  EXPECT_EQ(source_.alive, 0);
  EXPECT_FALSE(a->Lease());
  EXPECT_FALSE(b->Lease());
  EXPECT_TRUE(Get("a"));
}

TEST_F(ManagerStateTest, HandlesOutliveTheManager) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  auto held = a->Lease();
  ASSERT_TRUE(held);
  manager_->Close();
  manager_.reset();
  EXPECT_EQ(source_.alive, 1);
  EXPECT_EQ(FakeOf(*held).name, "a");
  held->Release();
  EXPECT_EQ(source_.alive, 0);
  EXPECT_EQ(a->Lease().error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(a->Lease().error().ToString(), HasSubstr("the manager of model 'a' is gone"));
  EXPECT_EQ(a->model_id(), "a");
  EXPECT_EQ(a->description().family, "fake");
}

TEST_F(ManagerStateTest, AClosedManagerStillHeldByACallRefuses) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  manager_->Close();
  EXPECT_THAT(a->Lease().error().ToString(), HasSubstr("is gone"));
  EXPECT_THAT(Get("a").error().ToString(), HasSubstr("is gone"));
}

TEST_F(ManagerStateTest, AConfigThatWouldLoadDifferentlyIsAConflict) {
  Start(2);
  const ModelConfig config = ModelConfig::ForTier3("m");
  ASSERT_TRUE(manager_->GetOrLoad("id", &config, {}));
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
    const auto handle = manager_->GetOrLoad("id", &other, {});
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
  same.max_length = 128;  // less than it can do
  EXPECT_TRUE(manager_->GetOrLoad("id", &same, {}));
}

TEST_F(ManagerStateTest, AnEvictedIdMayComeBackWithAnotherConfig) {
  Start(1);
  const auto old = Get("a");
  ASSERT_TRUE(old);
  ASSERT_TRUE(Get("b"));
  ModelConfig other = ModelConfig::ForTier3("a");
  other.quantization = QuantizationType::kInt8;
  const auto fresh = manager_->GetOrLoad("a", &other, {});
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Lease());
  EXPECT_FALSE(old->Lease());  // it would compute with another model than it was made for
}

TEST_F(ManagerStateTest, AnIdTakenByAForeignObjectIsRefused) {
  Start(2);
  ModelRegistry::Entry entry;
  entry.foreign = std::make_shared<int>(1);
  ASSERT_TRUE(manager_->Register("m", std::move(entry)));
  EXPECT_EQ(Get("m").error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(Uses("m"), 0);
}

TEST_F(ManagerStateTest, AModelUnregisteredThroughTheRegistryCountsAsEvicted) {
  Start(2);
  const auto a = Get("a");
  ASSERT_TRUE(a);
  EXPECT_TRUE(manager_->Unregister("a"));
  EXPECT_TRUE(a->Lease());
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerStateTest, AModelThatTheApplicationRegisteredIsAHit) {
  Start(2);
  const auto old = Get("m");
  ASSERT_TRUE(old);
  ASSERT_TRUE(manager_->Unregister("m"));
  ModelRegistry::Entry entry;
  entry.config = ModelConfig::ForTier3("m");
  entry.model = source_.source().load(*entry.config, {}, nullptr).value();
  ASSERT_TRUE(manager_->Register("m", std::move(entry)));
  EXPECT_FALSE(old->Lease());  // made for another object
  const auto fresh = Get("m");
  ASSERT_TRUE(fresh);
  EXPECT_TRUE(fresh->Lease());
  EXPECT_EQ(source_.loads, 2);
}

TEST_F(ManagerStateTest, AFreedModelMayCallTheManager) {
  Start(1);
  for (const char* id : {"evicted", "unloaded", "cleared"}) {
    const auto handle = Get(id);
    ASSERT_TRUE(handle);
    // Hangs if a lock is held around the destructor.
    const auto lease = handle->Lease();
    FakeOf(*lease).on_destroy = [this] { Unload("nobody"); };
  }
  EXPECT_TRUE(Get("last"));
  EXPECT_TRUE(Unload("last"));
  manager_->ClearAll();
}

}  // namespace
}  // namespace mdsa
