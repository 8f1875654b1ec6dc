#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <numeric>
#include <string>

#include "formats/test_support.h"
#include "mdsa/residency.h"

namespace mdsa {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using test::ExpectError;

TEST(ResidencyOptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(ResidencyOptions().Validate());
  ResidencyOptions all;
  all.max_models = 1;
  all.max_memory = MemoryLimit::Share(0.7).value();
  all.max_device_memory = {{"cuda:0", 1}, {"cuda:11", 5}, {"mps", 7}};
  all.time_to_live = nanoseconds(0);
  all.max_queue_wait = all.wait_timeout = all.retry_delay = all.max_retry_delay = nanoseconds(0);
  EXPECT_TRUE(all.Validate());
  all.wait_timeout = nanoseconds::max();
  EXPECT_TRUE(all.Validate());
}

void ExpectRefused(const std::function<void(ResidencyOptions&)>& change,
                   std::initializer_list<std::string_view> parts) {
  ResidencyOptions options;
  change(options);
  ExpectError(options.Validate(), ErrorCode::kInvalidArgument, parts);
}

TEST(ResidencyOptionsTest, ErrorsNameTheField) {
  ExpectRefused([](auto& o) { o.max_models = 0; }, {"max_models", "at least 1", "0"});
  ExpectRefused([](auto& o) { o.max_memory = MemoryLimit::Bytes(0); }, {"max_memory", "0 bytes"});
  ExpectRefused([](auto& o) { o.max_device_memory["mps"] = 0; }, {"max_device_memory", "mps"});
  ExpectRefused([](auto& o) { o.time_to_live = -seconds(1); }, {"time_to_live", "-1 s"});
  ExpectRefused([](auto& o) { o.min_residency = -nanoseconds(1); }, {"min_residency"});
  ExpectRefused([](auto& o) { o.max_queue_wait = -seconds(1); }, {"max_queue_wait"});
  ExpectRefused([](auto& o) { o.wait_timeout = -seconds(1); }, {"wait_timeout"});
  ExpectRefused([](auto& o) { o.retry_delay = -seconds(1); }, {"retry_delay", "negative"});
  ExpectRefused([](auto& o) { o.max_retry_delay = -seconds(1); }, {"max_retry_delay", "negative"});
  ExpectRefused([](auto& o) { o.retry_delay = seconds(61); },
                {"max_retry_delay", "retry_delay, which is 61 s, not 60 s"});
  ExpectRefused([](auto& o) { o.report_waits_after = seconds(0); }, {"report_waits_after"});
}

TEST(ResidencyOptionsTest, DevicesAreSingleOnes) {
  for (const char* device : {"", "cpu", "auto", "cuda", "cuda:", "cuda:-1", "gpu", "cuda:0\x1b"}) {
    ExpectRefused([&](auto& o) { o.max_device_memory[device] = 5; },
                  {"max_device_memory", "cuda:N", "max_memory"});
  }
}

TEST(ResidencyNamesTest, EveryValueHasOne) {
  EXPECT_EQ(EvictionReasonName(EvictionReason::kCount), "count");
  EXPECT_EQ(EvictionReasonName(EvictionReason::kBytes), "bytes");
  EXPECT_EQ(EvictionReasonName(EvictionReason::kTimeToLive), "time_to_live");
  EXPECT_EQ(EvictionReasonName(EvictionReason::kUnderestimate), "underestimate");
  EXPECT_EQ(EvictionReasonName(static_cast<EvictionReason>(kEvictionReasons)), "unknown");
  using Kind = ModelEvent::Kind;
  EXPECT_EQ(ModelEventKindName(Kind::kLoading), "loading");
  EXPECT_EQ(ModelEventKindName(Kind::kReady), "ready");
  EXPECT_EQ(ModelEventKindName(Kind::kEvicted), "evicted");
  EXPECT_EQ(ModelEventKindName(Kind::kFailed), "failed");
  EXPECT_EQ(ModelEventKindName(Kind::kFreed), "freed");
  EXPECT_EQ(ModelEventKindName(Kind::kWaiting), "waiting");
  EXPECT_EQ(ModelEventKindName(static_cast<Kind>(6)), "unknown");
  using Verdict = ResidencyExplanation::Verdict;
  EXPECT_EQ(VerdictName(Verdict::kResident), "resident");
  EXPECT_EQ(VerdictName(Verdict::kFits), "fits");
  EXPECT_EQ(VerdictName(Verdict::kEvicts), "evicts");
  EXPECT_EQ(VerdictName(Verdict::kWaits), "waits");
  EXPECT_EQ(VerdictName(Verdict::kRefused), "refused");
  EXPECT_EQ(VerdictName(static_cast<Verdict>(5)), "unknown");
}

TEST(HistogramTest, BoundsBelongToTheirBucket) {
  Histogram histogram;
  for (double value : {0.0, 0.001, 0.0011, 300.0, 300.1}) histogram.Add(value);
  EXPECT_EQ(histogram.counts[0], 2u);
  EXPECT_EQ(histogram.counts[1], 1u);
  EXPECT_EQ(histogram.counts[15], 1u);
  EXPECT_EQ(histogram.counts[16], 1u);
  EXPECT_EQ(histogram.count, 5u);
  EXPECT_DOUBLE_EQ(histogram.sum, 600.1021);
  EXPECT_EQ(std::accumulate(histogram.counts.begin(), histogram.counts.end(), 0u), 5u);
}

TEST(ResidencyMetricsTest, EstimateErrorNeedsBothNumbers) {
  ResidencyMetrics::Model model;
  EXPECT_FALSE(model.estimate_error());
  model.estimated_bytes = 110;
  EXPECT_FALSE(model.estimate_error());
  model.measured_bytes = 100;
  EXPECT_DOUBLE_EQ(model.estimate_error().value(), 0.1);
  model.estimated_bytes = 0;
  EXPECT_FALSE(model.estimate_error());
}

}  // namespace
}  // namespace mdsa
