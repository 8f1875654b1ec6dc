#include "mdsa/model_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <thread>

namespace mdsa {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::unique_ptr<ModelRegistry> MakeRegistry(std::int64_t max_models) {
  auto registry = ModelRegistry::Create(max_models);
  EXPECT_TRUE(registry);
  return *std::move(registry);
}

ModelRegistry::Entry Foreign(double memory_mb, std::shared_ptr<void> object = nullptr) {
  ModelRegistry::Entry entry;
  entry.foreign = object ? std::move(object) : std::make_shared<int>(1);
  entry.memory_mb = memory_mb;
  return entry;
}

// Runs a function when it is destroyed.
class OnDestroyObject {
 public:
  explicit OnDestroyObject(std::function<void()> action) : action_(std::move(action)) {}
  ~OnDestroyObject() { action_(); }
  OnDestroyObject(const OnDestroyObject&) = delete;
  OnDestroyObject& operator=(const OnDestroyObject&) = delete;

 private:
  std::function<void()> action_;
};

std::shared_ptr<void> OnDestroy(std::function<void()> action) {
  return std::make_shared<OnDestroyObject>(std::move(action));
}

TEST(ModelRegistryTest, RefusesALimitBelowOne) {
  for (const std::int64_t limit : {std::int64_t{0}, std::int64_t{-3}}) {
    const auto registry = ModelRegistry::Create(limit);
    ASSERT_FALSE(registry);
    EXPECT_EQ(registry.error().code(), ErrorCode::kInvalidArgument);
  }
  const auto registry = MakeRegistry(2);
  EXPECT_EQ(registry->SetMaxModels(0).error().ToString(), "max_models must be at least 1, not 0");
  EXPECT_EQ(registry->max_models(), 2);
}

TEST(ModelRegistryTest, TheOldestGoesWhenNothingWasUsed) {
  const auto registry = MakeRegistry(2);
  ASSERT_TRUE(registry->Register("model1", Foreign(100)));
  ASSERT_TRUE(registry->Register("model2", Foreign(100)));
  const auto evicted = registry->Register("model3", Foreign(100));
  ASSERT_TRUE(evicted);
  EXPECT_THAT(*evicted, ElementsAre("model1"));
  EXPECT_THAT(registry->ListModels(), ElementsAre("model2", "model3"));
}

TEST(ModelRegistryTest, AUsedModelOutlivesAnUnusedOne) {
  const auto registry = MakeRegistry(2);
  ASSERT_TRUE(registry->Register("m1", Foreign(500)));
  ASSERT_TRUE(registry->Register("m2", Foreign(300)));
  EXPECT_EQ(registry->size(), 2);  // both resident: nothing is evicted while there is room
  EXPECT_EQ(registry->GetStats().total_memory_mb, 800.0);
  EXPECT_TRUE(registry->Get("m1"));
  ASSERT_TRUE(registry->Register("m3", Foreign(1)));
  EXPECT_THAT(registry->ListModels(), ElementsAre("m1", "m3"));
}

TEST(ModelRegistryTest, OnlyGetCountsAsUse) {
  const auto registry = MakeRegistry(2);
  ASSERT_TRUE(registry->Register("m1", Foreign(1)));
  ASSERT_TRUE(registry->Register("m2", Foreign(1)));
  EXPECT_EQ(registry->Peek("m1")->use_count, 0);
  EXPECT_TRUE(registry->IsLoaded("m1"));
  registry->GetStats();
  registry->ListModels();
  ASSERT_TRUE(registry->Register("m3", Foreign(1)));
  EXPECT_FALSE(registry->IsLoaded("m1"));  // none of these saved it

  EXPECT_EQ(registry->Get("m2")->use_count, 1);
  EXPECT_EQ(registry->Get("m2")->use_count, 2);
  EXPECT_EQ(registry->Peek("m2")->use_count, 2);
  EXPECT_GE(registry->Peek("m2")->last_used, registry->Peek("m2")->loaded_at);
}

TEST(ModelRegistryTest, UnknownIds) {
  const auto registry = MakeRegistry(1);
  EXPECT_FALSE(registry->Get("x"));
  EXPECT_FALSE(registry->Peek("x"));
  EXPECT_FALSE(registry->IsLoaded("x"));
  EXPECT_FALSE(registry->Unregister("x"));
}

TEST(ModelRegistryTest, DuplicateIdsAreRefusedAndChangeNothing) {
  const auto registry = MakeRegistry(1);
  ASSERT_TRUE(registry->Register("m", Foreign(1)));
  const auto again = registry->Register("m", Foreign(2));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(registry->Peek("m")->memory_mb, 1.0);
}

TEST(ModelRegistryTest, BadEntriesAreRefused) {
  const auto registry = MakeRegistry(2);
  EXPECT_EQ(registry->Register("", Foreign(1)).error().ToString(), "model_id must not be empty");
  for (const double size :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const auto result = registry->Register("m", Foreign(size));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(registry->size(), 0);
}

TEST(ModelRegistryTest, StatsSumUpAndHoldNoObjects) {
  const auto registry = MakeRegistry(5);
  auto object = std::make_shared<int>(7);
  ModelRegistry::Entry entry = Foreign(100.5, object);
  entry.config = ModelConfig::ForTier3("m");
  entry.foreign_tokenizer = object;
  ASSERT_TRUE(registry->Register("b", std::move(entry)));
  ASSERT_TRUE(registry->Register("a", Foreign(0)));
  registry->Get("b");
  registry->Get("b");
  registry->Get("a");

  const RegistryStats stats = registry->GetStats();
  EXPECT_EQ(stats.models_loaded, 2);
  EXPECT_EQ(stats.max_models, 5);
  EXPECT_EQ(stats.total_memory_mb, 100.5);
  EXPECT_EQ(stats.total_uses, 3);
  ASSERT_EQ(stats.models.size(), 2u);
  EXPECT_EQ(stats.models[0].model_id, "b");  // in registration order
  EXPECT_EQ(stats.models[0].config->model_name, "m");
  EXPECT_EQ(stats.models[1].model_id, "a");
  EXPECT_EQ(object.use_count(), 3);  // here and twice in the registry
}

TEST(ModelRegistryTest, ForeignObjectsAreHeldOnceAndReleased) {
  const auto registry = MakeRegistry(1);
  auto object = std::make_shared<int>(7);
  ASSERT_TRUE(registry->Register("m", Foreign(1, object)));
  EXPECT_EQ(object.use_count(), 2);
  EXPECT_EQ(registry->Get("m")->foreign, object);
  EXPECT_FALSE(registry->Get("m")->model);
  EXPECT_TRUE(registry->Unregister("m"));
  EXPECT_EQ(object.use_count(), 1);
}

TEST(ModelRegistryTest, AHolderKeepsAnEvictedObjectWhole) {
  const auto registry = MakeRegistry(1);
  bool freed = false;
  ASSERT_TRUE(registry->Register("m1", Foreign(1, OnDestroy([&] { freed = true; }))));
  std::optional<ModelInfo> info = registry->Get("m1");
  ASSERT_TRUE(registry->Register("m2", Foreign(1)));
  EXPECT_FALSE(freed);
  info.reset();
  EXPECT_TRUE(freed);
}

TEST(ModelRegistryTest, ALoweredLimitCountsFromTheNextRegister) {
  const auto registry = MakeRegistry(4);
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(registry->Register(id, Foreign(1)));
  registry->Get("a");
  ASSERT_TRUE(registry->SetMaxModels(2));
  EXPECT_EQ(registry->size(), 4);
  const auto evicted = registry->Register("e", Foreign(1));
  ASSERT_TRUE(evicted);
  EXPECT_THAT(*evicted, ElementsAre("b", "c", "d"));
  EXPECT_THAT(registry->ListModels(), ElementsAre("a", "e"));

  ASSERT_TRUE(registry->SetMaxModels(3));
  EXPECT_THAT(registry->Register("f", Foreign(1)).value(), IsEmpty());
}

TEST(ModelRegistryTest, ClearEmptiesAndTheRegistryStaysUsable) {
  const auto registry = MakeRegistry(2);
  registry->Clear();
  ASSERT_TRUE(registry->Register("a", Foreign(1)));
  registry->Clear();
  EXPECT_EQ(registry->size(), 0);
  EXPECT_THAT(registry->ListModels(), IsEmpty());
  EXPECT_TRUE(registry->Register("a", Foreign(1)));
}

TEST(ModelRegistryTest, DestructorsMayCallBackOnEveryWayOut) {
  auto registry = MakeRegistry(1);
  int calls = 0;
  // Locks the registry: would hang if a lock were held around it.
  const auto reentrant = [&] {
    return OnDestroy([&, raw = registry.get()] { calls += 1 + (raw->size() < 0 ? 1 : 0); });
  };
  ASSERT_TRUE(registry->Register("evicted", Foreign(1, reentrant())));
  ASSERT_TRUE(registry->Register("unregistered", Foreign(1, reentrant())));
  EXPECT_EQ(calls, 1);
  registry->Unregister("unregistered");
  EXPECT_EQ(calls, 2);
  ASSERT_TRUE(registry->Register("cleared", Foreign(1, reentrant())));
  registry->Clear();
  EXPECT_EQ(calls, 3);
  ASSERT_TRUE(registry->Register("kept", Foreign(1)));
  EXPECT_FALSE(registry->Register("kept", Foreign(1, reentrant())));  // a refused one
  EXPECT_EQ(calls, 4);
  registry->Clear();
  ASSERT_TRUE(registry->Register("last", Foreign(1, reentrant())));
  registry.reset();
  EXPECT_EQ(calls, 5);
}

TEST(ModelRegistryTest, ADestructorMayRegister) {
  const auto registry = MakeRegistry(2);
  ASSERT_TRUE(registry->Register(
      "old",
      Foreign(1, OnDestroy([&] { EXPECT_TRUE(registry->Register("successor", Foreign(1))); }))));
  EXPECT_TRUE(registry->Unregister("old"));
  EXPECT_THAT(registry->ListModels(), ElementsAre("successor"));
}

TEST(ModelRegistryTest, EqualsASimpleModelOnRandomOperations) {
  struct Reference {  // ids by recency, oldest first
    std::vector<std::string> ids;
    std::size_t max = 3;
  } reference;
  const auto registry = MakeRegistry(3);
  std::mt19937 random(7);
  const auto find = [&](const std::string& id) {
    return std::find(reference.ids.begin(), reference.ids.end(), id);
  };
  for (int step = 0; step < 5000; ++step) {
    const std::string id(1, static_cast<char>('a' + random() % 8));
    const auto at = find(id);
    const bool known = at != reference.ids.end();
    switch (random() % 4) {
      case 0: {
        const auto evicted = registry->Register(id, Foreign(1));
        ASSERT_EQ(evicted.has_value(), !known);
        if (known) break;
        std::vector<std::string> expected;
        while (reference.ids.size() >= reference.max) {
          expected.push_back(reference.ids.front());
          reference.ids.erase(reference.ids.begin());
        }
        reference.ids.push_back(id);
        ASSERT_EQ(*evicted, expected);
        break;
      }
      case 1:
        ASSERT_EQ(registry->Get(id).has_value(), known);
        if (known) std::rotate(at, at + 1, reference.ids.end());
        break;
      case 2:
        ASSERT_EQ(registry->Unregister(id), known);
        if (known) reference.ids.erase(at);
        break;
      case 3:
        reference.max = 1 + random() % 5;
        ASSERT_TRUE(registry->SetMaxModels(static_cast<std::int64_t>(reference.max)));
        break;
    }
    const std::vector<std::string> listed = registry->ListModels();
    ASSERT_EQ(std::set(listed.begin(), listed.end()),
              std::set(reference.ids.begin(), reference.ids.end()));
  }
}

TEST(ModelRegistryTest, HammeredFromManyThreadsItNeverExceedsTheLimitOrLosesAnObject) {
  constexpr int kThreads = 8;
  constexpr int kSteps = 2000;
  constexpr std::int64_t kMax = 3;
  std::atomic<int> alive = 0;
  {
    const auto registry = MakeRegistry(kMax);
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(static_cast<unsigned>(t));
        for (int step = 0; step < kSteps; ++step) {
          const std::string id(1, static_cast<char>('a' + random() % 6));
          switch (random() % 5) {
            case 0:
            case 1: {
              ++alive;
              (void)registry->Register(id, Foreign(2, OnDestroy([&alive] { --alive; })));
              break;
            }
            case 2:
              if (const auto info = registry->Get(id)) {
                EXPECT_EQ(info->model_id, id);
                EXPECT_GE(info->use_count, 1);
              }
              break;
            case 3:
              registry->Unregister(id);
              break;
            case 4: {
              const RegistryStats stats = registry->GetStats();
              EXPECT_LE(stats.models_loaded, kMax);
              EXPECT_EQ(stats.total_memory_mb, 2.0 * static_cast<double>(stats.models.size()));
              break;
            }
          }
        }
      });
    }
    threads.clear();
    EXPECT_EQ(alive, registry->size());
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace mdsa
