// Dry runs: each verdict, why one stays, and that asking changes nothing.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "support/manager_fixture.h"

namespace mdsa {
namespace {

using test::ManagerFixture;
using Verdict = ResidencyExplanation::Verdict;

class ManagerExplainTest : public ManagerFixture {
 protected:
  ResidencyExplanation Explain(const std::string& id) {
    const ModelConfig config = ModelConfig::ForTier3(id);
    return manager_->Explain(id, &config).value();
  }
  void Pin(const std::string& id) {
    ModelSettings settings;
    settings.pinned = true;
    ASSERT_TRUE(manager_->SetSettings(id, settings));
  }
};

TEST_F(ManagerExplainTest, ExplainsEachVerdict) {
  Start(Options(2), 6'000'000);
  ASSERT_TRUE(Get("a"));
  EXPECT_EQ(Explain("a").verdict, Verdict::kResident);
  EXPECT_EQ(Explain("b").verdict, Verdict::kFits);
  ASSERT_TRUE(Get("b"));
  const ResidencyExplanation evicts = Explain("c");
  EXPECT_EQ(evicts.verdict, Verdict::kEvicts);
  ASSERT_EQ(evicts.victims.size(), 1u);
  EXPECT_EQ(evicts.victims[0].model_id, "a");
  EXPECT_EQ(evicts.victims[0].bytes, 2'500'000u);
  EXPECT_EQ(evicts.victims[0].reason, EvictionReason::kCount);
  EXPECT_EQ(evicts.reserved_bytes, 5'000'000u);
  EXPECT_EQ(evicts.limit_bytes, 6'000'000u);
  {
    const auto a = Lease("a");
    const auto b = Lease("b");
    const ResidencyExplanation waits = Explain("c");
    EXPECT_EQ(waits.verdict, Verdict::kWaits);
    ASSERT_EQ(waits.kept.size(), 2u);
    EXPECT_EQ(waits.kept[0].reason, "in use by 1 call");
  }
  Pin("a");
  Pin("b");
  const ResidencyExplanation refused = Explain("c");
  EXPECT_EQ(refused.verdict, Verdict::kRefused);
  EXPECT_NE(refused.reason.find("'a'"), std::string::npos) << refused.reason;
}

TEST_F(ManagerExplainTest, WhyOneStaysIsTrueForTheVerdict) {
  Start(2);
  ASSERT_TRUE(Get("a"));
  EXPECT_EQ(Explain("b").kept.at(0).reason, "idle");  // nobody has to go
  ASSERT_TRUE(Get("b"));
  EXPECT_EQ(Explain("c").kept.at(0).reason, "recently used, or not in the way");
  Pin("b");
  EXPECT_EQ(Explain("c").kept.at(0).reason, "pinned");
}

TEST_F(ManagerExplainTest, OneThatIsTooYoungStaysForThat) {
  ResidencyOptions options = Options(1);
  options.min_residency = std::chrono::minutes(1);
  Start(options, {}, clock_);
  ASSERT_TRUE(Get("a"));
  const ResidencyExplanation waits = Explain("b");
  EXPECT_EQ(waits.verdict, Verdict::kWaits);
  EXPECT_EQ(waits.kept.at(0).reason, "ready too short a time");
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(Explain("b").verdict, Verdict::kEvicts);
}

}  // namespace
}  // namespace mdsa
