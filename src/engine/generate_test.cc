// The rules of generation, of one prompt and of several at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <span>
#include <stop_token>
#include <thread>
#include <vector>

#include "mdsa/model.h"
#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using ::testing::AllOf;
using testing::BuildTinyModel;
using ::testing::HasSubstr;
using testing::RandomIds;
using testing::RandomWeights;
using testing::TinyBertConfig;
using testing::TinyLlamaConfig;
using testing::TinyPhiConfig;

// Greedy continuation by the plain forward pass of the engine, one whole sequence a token.
std::vector<TokenId> GreedyByForward(const Model& model, std::vector<TokenId> ids, std::int64_t n) {
  const std::size_t prompt = ids.size();
  for (std::int64_t i = 0; i < n; ++i) {
    const auto output = model.Forward({1, std::ssize(ids), ids});
    const auto vocab = static_cast<std::size_t>(model.description().vocab_size);
    const auto last = std::span(output->logits->values).last(vocab);
    ids.push_back(static_cast<TokenId>(std::ranges::max_element(last) - last.begin()));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt), ids.end()};
}

TEST(GenerateTest, CachedStepsEqualWholeForwardPasses) {
  for (const ArchitectureConfig& config : {TinyLlamaConfig(), TinyPhiConfig()}) {
    const auto model = BuildTinyModel(config, RandomWeights(config));
    for (std::int64_t length : {1, 5, 120}) {  // the last grows the cache
      const auto prompt = RandomIds(length, config.vocab_size);
      GenerationOptions options;
      options.max_new_tokens = 20;
      const auto result = model->Generate(prompt, options);
      ASSERT_TRUE(result) << result.error().ToString();
      EXPECT_EQ(result->ids, GreedyByForward(*model, prompt, 20));
      EXPECT_EQ(result->finish_reason, FinishReason::kMaxNewTokens);
      EXPECT_EQ(result->prompt_tokens, length);
    }
  }
}

class GenerateRulesTest : public ::testing::Test {
 protected:
  std::shared_ptr<Model> model_ =
      BuildTinyModel(TinyLlamaConfig(), RandomWeights(TinyLlamaConfig()), 30);
  std::vector<TokenId> prompt_ = RandomIds(10, 61);
};

TEST_F(GenerateRulesTest, EndsAtAnEndToken) {
  const auto free = model_->Generate(prompt_, {});
  GenerationOptions options;
  options.eos_token_ids = {free->ids[3]};
  const auto result = model_->Generate(prompt_, options);
  const auto first = std::ranges::find(free->ids, free->ids[3]) - free->ids.begin();
  EXPECT_EQ(result->finish_reason, FinishReason::kEndOfSequence);
  EXPECT_EQ(std::ssize(result->ids), first + 1);
  options.min_new_tokens = 10;
  const auto longer = model_->Generate(prompt_, options);
  EXPECT_GE(longer->ids.size(), 10u);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_NE(longer->ids[i], free->ids[3]);
}

TEST_F(GenerateRulesTest, EndsWhenTheContextIsFull) {
  const auto result = model_->Generate(prompt_, {});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->finish_reason, FinishReason::kContextFull);
  EXPECT_EQ(result->ids.size(), 20u);
}

TEST_F(GenerateRulesTest, SinksSeeEveryTokenAndCanEnd) {
  std::vector<TokenId> seen;
  const auto all = model_->Generate(prompt_, {}, {}, [&](TokenId id) {
    seen.push_back(id);
    return true;
  });
  EXPECT_EQ(seen, all->ids);
  const auto cut = model_->Generate(prompt_, {}, {}, [n = 0](TokenId) mutable { return ++n < 3; });
  EXPECT_EQ(cut->ids.size(), 3u);
  EXPECT_EQ(cut->finish_reason, FinishReason::kCancelled);
}

TEST_F(GenerateRulesTest, AStopRequestIsAResult) {
  std::stop_source stop;
  const auto result = model_->Generate(
      prompt_, {}, {},
      [&, n = 0](TokenId) mutable {
        if (++n == 4) stop.request_stop();
        return true;
      },
      stop.get_token());
  ASSERT_TRUE(result);
  EXPECT_EQ(result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(result->ids.size(), 4u);
}

TEST_F(GenerateRulesTest, ErrorsNameTheirNumbers) {
  const auto error = [&](std::span<const TokenId> prompt, const GenerationOptions& options = {}) {
    const auto result = model_->Generate(prompt, options);
    return result ? Error(ErrorCode::kInternal, "") : result.error();
  };
  EXPECT_EQ(error({}).code(), ErrorCode::kInvalidArgument);
  const Error too_long = error(RandomIds(31, 61));
  EXPECT_EQ(too_long.code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(too_long.message(), AllOf(HasSubstr("31 tokens"), HasSubstr("may have 30")));
  EXPECT_THAT(error(std::array<TokenId, 1>{61}).message(), HasSubstr("prompt[0] is 61"));
  EXPECT_THAT(error(std::array<TokenId, 1>{-1}).message(), HasSubstr("-1"));
  GenerationOptions options;
  options.stop = {"x"};
  EXPECT_EQ(error(prompt_, options).code(), ErrorCode::kFailedPrecondition);
  options.stop = {};
  options.max_new_tokens = 0;
  EXPECT_EQ(error(prompt_, options).code(), ErrorCode::kInvalidArgument);
  const auto bert = BuildTinyModel(TinyBertConfig(), RandomWeights(TinyBertConfig()));
  EXPECT_EQ(bert->Generate(prompt_, {}).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(model_->Embed({}).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(bert->Classify({}).error().code(), ErrorCode::kUnsupported);
}

TEST_F(GenerateRulesTest, ConcurrentCallsDoNotDisturbEachOther) {
  GenerationOptions options;
  options.do_sample = true;
  options.seed = 3;
  const auto expected = model_->Generate(prompt_, options);
  std::vector<std::vector<TokenId>> found(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : found) {
      threads.emplace_back([&] { ids = model_->Generate(prompt_, options)->ids; });
    }
  }
  for (const auto& ids : found) EXPECT_EQ(ids, expected->ids);
}

using Prompts = std::vector<std::vector<TokenId>>;

// Of many lengths, more than are decoded together; one alone is longer than a pass.
Prompts ManyPrompts(std::int64_t vocab) {
  Prompts prompts;
  for (std::int64_t i = 0; i < 40; ++i) {
    prompts.push_back(
        RandomIds(i == 7 ? 600 : 1 + i * 5 % 23, vocab, 100 + static_cast<std::uint64_t>(i)));
  }
  return prompts;
}

TEST(GenerateBatchTest, EachAnswerIsThatOfItsPromptAlone) {
  for (const ArchitectureConfig& config : {TinyLlamaConfig(), TinyPhiConfig()}) {
    const auto model = BuildTinyModel(config, RandomWeights(config));
    const Prompts prompts = ManyPrompts(config.vocab_size);
    GenerationOptions options;
    options.max_new_tokens = 12;
    options.eos_token_ids = {3, 5, 11, 17};  // answers end at different times
    const auto together = model->GenerateBatch(prompts, options);
    ASSERT_TRUE(together) << together.error().ToString();
    ASSERT_EQ(together->size(), prompts.size());
    bool any_ended = false;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto alone = model->Generate(prompts[i], options);
      ASSERT_TRUE(alone);
      EXPECT_EQ((*together)[i].ids, alone->ids) << i;
      EXPECT_EQ((*together)[i].finish_reason, alone->finish_reason) << i;
      EXPECT_EQ((*together)[i].prompt_tokens, std::ssize(prompts[i]));
      any_ended |= alone->finish_reason == FinishReason::kEndOfSequence;
    }
    EXPECT_TRUE(any_ended);
  }
}

TEST_F(GenerateRulesTest, ABatchSamplesWithOneSeedAPrompt) {
  GenerationOptions options;
  options.do_sample = true;
  options.temperature = 3.0;
  options.seed = 7;
  const Prompts prompts(3, prompt_);
  const auto together = model_->GenerateBatch(prompts, options);
  ASSERT_TRUE(together);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    options.seed = 7 + i;
    EXPECT_EQ((*together)[i].ids, model_->Generate(prompt_, options)->ids);
  }
  EXPECT_NE((*together)[0].ids, (*together)[1].ids);
}

TEST_F(GenerateRulesTest, ASinkEndsItsOwnAnswerOnly) {
  const Prompts prompts(3, prompt_);
  std::array<std::vector<TokenId>, 3> seen;
  const auto results = model_->GenerateBatch(prompts, {}, [&](std::size_t index, TokenId id) {
    seen[index].push_back(id);
    return index != 1 || seen[index].size() < 4;
  });
  ASSERT_TRUE(results);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(seen[i], (*results)[i].ids);
  EXPECT_EQ((*results)[1].ids.size(), 4u);
  EXPECT_EQ((*results)[1].finish_reason, FinishReason::kCancelled);
  EXPECT_EQ((*results)[2].finish_reason, FinishReason::kContextFull);
}

TEST_F(GenerateRulesTest, AStopRequestEndsAllAnswers) {
  const Prompts prompts(40, prompt_);
  std::stop_source stop;
  const auto results = model_->GenerateBatch(
      prompts, {},
      [&](std::size_t, TokenId) {
        stop.request_stop();
        return true;
      },
      stop.get_token());
  ASSERT_TRUE(results);
  ASSERT_EQ(results->size(), 40u);
  for (const GenerationResult& result : *results) {
    EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
    EXPECT_EQ(result.prompt_tokens, 10);
  }
  EXPECT_EQ(results->front().ids.size(), 1u);
  EXPECT_TRUE(results->back().ids.empty());
}

TEST_F(GenerateRulesTest, ABatchOfNothingIsEmptyAndABadPromptIsRefused) {
  EXPECT_TRUE(model_->GenerateBatch({}, {})->empty());
  const Prompts prompts = {prompt_, {}};
  EXPECT_EQ(model_->GenerateBatch(prompts, {}).error().code(), ErrorCode::kInvalidArgument);
}

// The errors are those of the options: the checkpoint is sound.
TEST_F(GenerateRulesTest, OptionsThatLeaveNoTokenAreNotBlamedOnTheWeights) {
  GenerationOptions options;
  options.min_new_tokens = 2;
  for (TokenId id = 0; id < 61; ++id) options.eos_token_ids.push_back(id);
  EXPECT_EQ(model_->Generate(prompt_, options).error().code(), ErrorCode::kInvalidArgument);
  options = {};
  options.repetition_penalty = 1e-50;
  EXPECT_EQ(model_->Generate(prompt_, options).error().code(), ErrorCode::kInvalidArgument);
  options.repetition_penalty = 1e-38;
  EXPECT_THAT(model_->Generate(prompt_, options).error().message(),
              HasSubstr("repetition_penalty"));
}

}  // namespace
}  // namespace mdsa::engine
