// What calls are charged: once, before they allocate, and never less than they take.
#include "engine/call_memory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/free_memory.h"
#include "base/memory_probe.h"
#include "engine/cpu_ops.h"
#include "engine/kv_cache.h"
#include "engine/runner.h"
#include "engine/weight_loader.h"
#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using testing::MakeBuildInput;
using testing::MakeSource;
using testing::RandomIds;
using testing::RandomWeights;
using testing::TinyBertConfig;
using testing::TinyLlamaConfig;

class FakeAccount final : public MemoryAccount {
 public:
  Status Charge(std::uint64_t bytes, std::stop_token stop) override {
    if (stop.stop_requested()) return Err(ErrorCode::kCancelled, "nobody waits");
    if (refusal) return std::unexpected(*refusal);
    charges.push_back(bytes);
    held += bytes;
    if (on_granted) on_granted();
    return {};
  }
  void Release(std::uint64_t bytes) noexcept override { held -= bytes; }

  std::vector<std::uint64_t> charges;
  std::uint64_t held = 0;
  std::optional<Error> refusal;
  std::function<void()> on_granted;
};

// WordPiece over single letters.
std::shared_ptr<const Tokenizer> LetterPieces() {
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (char letter = 'a'; letter <= 'x'; ++letter) {
    vocab += fmt::format("{}\n##{}\n", letter, letter);
  }
  Tokenizer::Files files;
  files.vocab_txt = vocab;
  return Tokenizer::FromFiles(files).value();
}

class CallMemoryTest : public ::testing::Test {
 protected:
  std::shared_ptr<Model> Build(const ArchitectureConfig& config, std::int64_t max_length = 0,
                               std::int64_t batch_size = 1) {
    BuildInput input = MakeBuildInput(config, MakeSource(config, RandomWeights(config)));
    input.account = account_;
    input.max_length = max_length;
    input.batch_size = batch_size;
    if (config.family == ModelFamily::kBert) input.tokenizer = LetterPieces();
    return BuildModel(std::move(input)).value();
  }

  // Runs a call, which must have paid once, and gives what.
  std::uint64_t ChargeOf(const std::function<bool()>& call) {
    account_->charges.clear();
    EXPECT_TRUE(call());
    EXPECT_EQ(account_->charges.size(), 1u);
    EXPECT_EQ(account_->held, 0u);
    return account_->charges.empty() ? 0 : account_->charges.front();
  }

  // Runs a call that takes many megabytes and compares what the process took at its peak.
  void ExpectCovers(const std::function<bool()>& call) {
    ASSERT_TRUE(call());  // and what the first call of a process sets up
    ReturnFreeMemory();
    const std::size_t before = test::ProcessBytes("VmRSS");
    test::ResetPeak();
    const std::uint64_t charged = ChargeOf(call);
    if constexpr (test::kMemoryIsMeasurable) {
      const std::size_t taken = test::ProcessBytes("VmHWM") - before;
      EXPECT_LE(taken, charged + 1'000'000);
      EXPECT_GE(static_cast<double>(taken), 0.7 * static_cast<double>(charged));
    }
  }

  std::shared_ptr<FakeAccount> account_ = std::make_shared<FakeAccount>();
};

TEST_F(CallMemoryTest, ACallOfOrdinarySizeIsWhatTheModelSays) {
  for (const std::int64_t length : {2, 100, 700, 1200}) {
    const auto decoder = Build(TinyLlamaConfig(), length);
    GenerationOptions options;
    options.do_sample = true;
    options.max_new_tokens = 2000;
    const auto prompt = RandomIds(std::min(kMaxPassRows, length - 1), 61);
    EXPECT_EQ(ChargeOf([&] { return decoder->Generate(prompt, options).has_value(); }),
              decoder->call_bytes());
  }
  for (const std::int64_t batch : {1, 8}) {
    const auto encoder = Build(TinyBertConfig(), 30, batch);
    const std::vector<std::string> texts(static_cast<std::size_t>(batch), std::string(30, 'a'));
    EXPECT_EQ(ChargeOf([&] { return encoder->Embed(texts).has_value(); }), encoder->call_bytes());
  }
  ArchitectureConfig bare = TinyLlamaConfig();
  bare.head = ModelHead::kNone;
  const auto model = Build(bare, 900);
  const auto ids = RandomIds(900, 61);
  EXPECT_EQ(ChargeOf([&] { return model->Forward({1, 900, ids}).has_value(); }),
            model->call_bytes());
}

TEST_F(CallMemoryTest, EveryCallPaysOnce) {
  const auto decoder = Build(TinyLlamaConfig());
  const std::vector<std::vector<TokenId>> prompts(40, RandomIds(9, 61));
  GenerationOptions options;
  options.max_new_tokens = 5;
  const std::uint64_t batch =
      ChargeOf([&] { return decoder->GenerateBatch(prompts, options).has_value(); });
  const std::uint64_t one =
      ChargeOf([&] { return decoder->Generate(prompts[0], options).has_value(); });
  EXPECT_GT(batch, one);
  ArchitectureConfig config = TinyBertConfig();
  config.head = ModelHead::kSequenceClassification;
  config.num_labels = 2;
  config.labels = {"a", "b"};
  const auto classifier = Build(config);
  const std::vector<std::string> texts = {"abc", "", "defg hij"};
  EXPECT_GT(ChargeOf([&] { return classifier->Classify(texts).has_value(); }), 0u);
}

// Large enough for the difference to show above the noise of a process.
TEST_F(CallMemoryTest, AChargeCoversWhatTheCallTakes) {
  ArchitectureConfig config = TinyLlamaConfig();
  config.vocab_size = 20'000;
  config.num_layers = 6;
  config.num_kv_heads = 4;
  config.head_dim = config.rotary_dim = 64;
  const auto model = Build(config);
  const auto ids = RandomIds(1024, config.vocab_size);
  ExpectCovers([&] { return model->Forward({4, 256, ids}).has_value(); });
  ExpectCovers([&] { return model->Forward({1, 1024, ids}).has_value(); });
  GenerationOptions options;
  options.do_sample = true;
  options.repetition_penalty = 1.1;
  options.max_new_tokens = options.min_new_tokens = 100;
  options.eos_token_ids = {1};
  ExpectCovers([&] { return model->Generate(ids, options).has_value(); });
  const std::vector<std::vector<TokenId>> prompts(10, {ids.begin(), ids.begin() + 200});
  ExpectCovers([&] { return model->GenerateBatch(prompts, options).has_value(); });
}

TEST_F(CallMemoryTest, ErrorsOfTheAccountArePassedOn) {
  const auto decoder = Build(TinyLlamaConfig());
  const auto encoder = Build(TinyBertConfig());
  const auto ids = RandomIds(4, 50);
  const std::vector<std::string> texts = {"abc"};
  for (const ErrorCode code : {ErrorCode::kResourceExhausted, ErrorCode::kDeadlineExceeded}) {
    account_->refusal = Error(code, "no memory for calls");
    EXPECT_EQ(decoder->Generate(ids, {}).error().code(), code);
    EXPECT_EQ(decoder->Forward({1, 4, ids}).error().code(), code);
    EXPECT_EQ(encoder->Embed(texts).error().code(), code);
    EXPECT_THAT(encoder->Embed(texts).error().ToString(),
                ::testing::HasSubstr("no memory for calls"));
  }
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(decoder->Generate(ids, {}, {}, {}, stop.get_token()).error().code(),
            ErrorCode::kCancelled);
  EXPECT_TRUE(account_->charges.empty());
}

TEST_F(CallMemoryTest, WhatIsRefusedAnywayIsNotCharged) {
  const auto decoder = Build(TinyLlamaConfig());
  EXPECT_FALSE(decoder->Generate({}, {}));
  EXPECT_FALSE(decoder->Forward({1, 3, RandomIds(4, 50)}));
  EXPECT_TRUE(account_->charges.empty());
}

TEST_F(CallMemoryTest, AStopAfterTheChargeEndsTheCallBeforeItsFirstPass) {
  ArchitectureConfig config = TinyBertConfig();
  config.head = ModelHead::kSequenceClassification;
  config.num_labels = 1;
  config.labels = {"a"};
  const auto classifier = Build(config);
  const auto encoder = Build(TinyBertConfig());
  const std::vector<std::string> texts = {"abc"};
  const auto ids = RandomIds(4, 50);
  const auto code_of = [&](auto call) {
    std::stop_source stop;
    account_->on_granted = [&] { stop.request_stop(); };
    const auto result = call(stop.get_token());
    EXPECT_EQ(account_->held, 0u);
    return result ? ErrorCode::kInternal : result.error().code();
  };
  using Stop = const std::stop_token&;
  EXPECT_EQ(code_of([&](Stop stop) { return encoder->Embed(texts, stop); }), ErrorCode::kCancelled);
  EXPECT_EQ(code_of([&](Stop stop) { return encoder->Forward({1, 4, ids}, stop); }),
            ErrorCode::kCancelled);
  EXPECT_EQ(code_of([&](Stop stop) { return classifier->Classify(texts, stop); }),
            ErrorCode::kCancelled);
  EXPECT_EQ(account_->charges.size(), 3u);
}

// A runner, whose sink may ask for the end after each pass.
TEST(RunnerStopTest, AStopEndsTheCallBeforeTheNextPass) {
  const ArchitectureConfig config = TinyLlamaConfig();
  BuildInput input = MakeBuildInput(config, MakeSource(config, RandomWeights(config)));
  Runner::Parts parts;
  parts.weights = WeightLoader(input).Load().value();
  parts.config = config;
  parts.ops = MakeCpuOps(input.compute);
  const Runner runner(std::move(parts));
  // Three sequences of which each is a pass, and one that is longer than a pass.
  const std::vector<std::vector<std::int64_t>> calls = {{300, 300, 300}, {1100}};
  for (const std::vector<std::int64_t>& lengths : calls) {
    const auto ids = RandomIds(lengths.size() > 1 ? 900 : 1100, config.vocab_size);
    for (const int passes : {1, 2}) {
      std::stop_source stop;
      int done = 0;
      const auto sink = [&](const Pass&, Workspace&) -> Status {
        if (++done == passes) stop.request_stop();
        return {};
      };
      const auto status = runner.RunSequences({ids, {}, {}, lengths, 0}, sink, stop.get_token());
      ASSERT_FALSE(status);
      EXPECT_EQ(status.error().code(), ErrorCode::kCancelled);
      EXPECT_EQ(status.error().message(), "the call was cancelled");
      EXPECT_EQ(done, passes);
    }
  }
}

TEST(KvCachePeakTest, IsWhatTheStepsOfGrowingAddUpTo) {
  // 2 heads of 128 floats: a position has 2 KiB, so that sizes are whole pages.
  const auto peak = KvCache::PeakOf(3, 2, 128, 10, 300);
  EXPECT_EQ(peak.held, 3u * 2048 * 300);
  EXPECT_EQ(peak.growing, 2048u * 256);
  EXPECT_EQ(KvCache::PeakOf(3, 2, 128, 300, 300).growing, 0u);
  EXPECT_EQ(KvCache::PeakOf(1, 2, 128, 10, 20).held, 2048u * 20);
}

TEST(CallMemorySizesTest, AbsurdOnesAreNeverSmall) {
  ArchitectureConfig config = TinyLlamaConfig();
  config.vocab_size = config.hidden_size = std::int64_t{1} << 40;
  const CallMemory calls(config, [](std::int64_t) { return std::size_t{1} << 50; });
  const std::int64_t huge = std::int64_t{1} << 60;
  EXPECT_GT(calls.Forward(huge, huge), std::uint64_t{1} << 60);
  EXPECT_GT(calls.Ordinary(huge, 1), std::uint64_t{1} << 60);
}

}  // namespace
}  // namespace mdsa::engine
