// Asking again for what was found before, and room for objects before they are made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "models/manager_state.h"
#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EntryRefTest : public test::ManagerFixture {
 protected:
  // An object of 4 MB that runs `on_destroy` when it is freed.
  static ModelRegistry::Entry Object(std::function<void()> on_destroy = {}) {
    ModelRegistry::Entry entry;
    entry.foreign = std::shared_ptr<void>(new int(7), [on_destroy](void* object) {
      if (on_destroy) on_destroy();
      delete static_cast<int*>(object);
    });
    entry.memory_mb = 4.0;
    return entry;
  }
  Status MakeRoom(const std::string& id, double memory_mb, double allocated_mb = 0.0) {
    return manager_->MakeRoom(id, {memory_mb, allocated_mb, "cpu"});
  }
  EntryRef RefOf(const std::string& id) { return *manager_->Peek(id)->entry; }
};

TEST_F(EntryRefTest, UsesOfItAreHits) {
  Start(2);
  const EntryRef a(*Get("a"));
  ASSERT_TRUE(Get("b"));
  EXPECT_EQ(a.model_id(), "a");
  EXPECT_TRUE(a.IsReady());
  EXPECT_TRUE(a.Use());
  EXPECT_TRUE(a.Use());
  EXPECT_EQ(Uses("a"), 3);
  EXPECT_EQ(manager_->Metrics().hits, 2u);
  ASSERT_TRUE(Get("c"));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a", "c"));  // "b" was used less recently
}

TEST_F(EntryRefTest, IsNotReadyWhileTheModelIsEvicted) {
  Start(1);
  const EntryRef a(*Get("a"));
  ASSERT_TRUE(Get("b"));
  EXPECT_FALSE(a.IsReady());
  EXPECT_FALSE(a.Use());
  EXPECT_FALSE(a.Lease());
  ASSERT_TRUE(Get("a"));
  EXPECT_TRUE(a.Use());
}

TEST_F(EntryRefTest, IsVoidAfterAnUnload) {
  Start(1);
  const EntryRef a(*Get("a"));
  EXPECT_TRUE(Unload("a"));
  ASSERT_TRUE(Get("a"));
  EXPECT_FALSE(a.IsReady());
  EXPECT_FALSE(a.Use());
  EXPECT_TRUE(RefOf("a").Use());
}

TEST_F(EntryRefTest, ALeaseFromItKeepsTheModel) {
  Start(1);
  const EntryRef a(*Get("a"));
  auto lease = a.Lease();
  ASSERT_TRUE(lease);
  EXPECT_EQ(test::FakeOf(*lease).name, "a");
  EXPECT_EQ(Uses("a"), 2);
  EXPECT_EQ(Get("b", AtOnce()).error().code(), ErrorCode::kResourceExhausted);
  lease.reset();
  EXPECT_TRUE(Get("b", AtOnce()));
}

TEST_F(EntryRefTest, StandsForObjectsToo) {
  Start(1);
  ASSERT_TRUE(manager_->Register("object", Object()));
  const EntryRef object = RefOf("object");
  EXPECT_TRUE(object.Use());
  EXPECT_EQ(Uses("object"), 1);
  EXPECT_EQ(*std::static_pointer_cast<int>(object.Lease()->foreign()), 7);
  EXPECT_TRUE(manager_->Unregister("object"));
  ASSERT_TRUE(manager_->Register("object", Object()));
  EXPECT_FALSE(object.Use());
}

TEST_F(EntryRefTest, MayOutliveTheManager) {
  Start(1);
  const EntryRef a(*Get("a"));
  manager_->Close();
  manager_.reset();
  EXPECT_FALSE(a.Use());
  EXPECT_FALSE(a.Lease());
}

TEST_F(EntryRefTest, RoomIsMadeByEvictingNoMoreThanNeeded) {
  Start(Options(10), 8'000'000);  // models are of 2.5 MB
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(Get(id));
  ASSERT_TRUE(MakeRoom("object", 2.0));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("b", "c"));
  ASSERT_TRUE(manager_->Register("object", Object()));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("c", "object"));
}

TEST_F(EntryRefTest, RoomThatCannotBeMadeCostsNobodyTheirPlace) {
  Start(Options(10), 8'000'000);
  ASSERT_TRUE(Get("a"));
  const auto lease = Lease("b");
  EXPECT_THAT(MakeRoom("object", 6.0).error().ToString(), HasSubstr("'b'"));
  EXPECT_EQ(MakeRoom("object", 9.0).error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(MakeRoom("object", -1.0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(MakeRoom("", 1.0).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a", "b"));
  EXPECT_EQ(manager_->Metrics().devices[0].reserved_bytes, 5'000'000u);
}

TEST_F(EntryRefTest, RoomIsMadeOnTheMachineAsWell) {
  auto source = source_.source();
  source.machine_bytes = [&] {
    return std::optional(std::uint64_t{5'000'000} - 2'500'000u * source_.alive);
  };
  manager_ = ManagerState::Create({Options(10), {}, nullptr, source, &Clock::Steady()}).value();
  ASSERT_TRUE(Get("a"));
  ASSERT_TRUE(MakeRoom("object", 4.0, 2.0));
  EXPECT_THAT(manager_->ListModels(), ElementsAre("a"));
  ASSERT_TRUE(MakeRoom("object", 4.0, 4.0));
  EXPECT_TRUE(manager_->ListModels().empty());
  EXPECT_EQ(MakeRoom("object", 4.0, 6.0).error().code(), ErrorCode::kResourceExhausted);
}

TEST_F(EntryRefTest, RegisteringWaitsForWhatIsBeingFreed) {
  Start(1);
  test::Gate freeing;
  ASSERT_TRUE(manager_->Register("old", Object([&] { freeing.Wait(); })));
  std::jthread first([&] { EXPECT_TRUE(manager_->Register("first", Object())); });
  freeing.AwaitEntered();
  auto second = std::async(std::launch::async,
                           [&] { return manager_->Register("second", Object()).has_value(); });
  // The id itself is free as well: nothing is left under it but memory.
  auto again = std::async(std::launch::async,
                          [&] { return manager_->Register("old", Object()).has_value(); });
  freeing.Open();
  EXPECT_TRUE(second.get());
  EXPECT_TRUE(again.get());
  first.join();
  EXPECT_EQ(manager_->size(), 1);
}

TEST_F(EntryRefTest, WhoFreesAnObjectDoesNotWaitForItself) {
  Start(1);
  ErrorCode code = ErrorCode::kInternal;
  ASSERT_TRUE(manager_->Register(
      "old", Object([&] { code = manager_->Register("successor", Object()).error().code(); })));
  ASSERT_TRUE(manager_->Register("new", Object()));
  EXPECT_EQ(code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(manager_->ListModels(), ElementsAre("new"));
}

}  // namespace
}  // namespace mdsa
