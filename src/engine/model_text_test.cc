// Texts in, vectors, labels or texts out: the calls that need a tokenizer beside the weights.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/load.h"
#include "mdsa/model.h"
#include "support/tiny_model.h"

namespace mdsa::engine {
namespace {

using testing::BuildTinyModel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::MakeBuildInput;
using testing::MakeSource;
using ::testing::Not;
using testing::RandomWeights;
using testing::TinyBertConfig;
using testing::TinyLlamaConfig;

const std::vector<std::string> kTexts = {"cab", "a", "bad cab face", "", "deed"};

// WordPiece over single letters: "cab" is c ##a ##b.
std::shared_ptr<const Tokenizer> LetterPieces() {
  std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (char letter = 'a'; letter <= 'x'; ++letter) {
    vocab += fmt::format("{}\n##{}\n", letter, letter);
  }
  Tokenizer::Files files;
  files.vocab_txt = vocab;
  return Tokenizer::FromFiles(files).value();
}

// One token a letter or digit behind three special ones, for a vocabulary of 61.
std::shared_ptr<const Tokenizer> Letters(const std::string& chat_template = "") {
  std::string vocab = R"("<s>": 0, "<|im_start|>": 1, "<|im_end|>": 2)";
  const std::string letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
  for (std::size_t i = 0; i < letters.size(); ++i) {
    vocab += fmt::format(R"(, "{}": {})", letters[i], i + 3);
  }
  const auto special = [](int id, std::string_view content) {
    return fmt::format(R"({{"id": {}, "content": "{}", "special": true, "single_word": false,)"
                       R"( "lstrip": false, "rstrip": false, "normalized": false}})",
                       id, content);
  };
  const std::string json =
      fmt::format(R"({{"added_tokens": [{}, {}, {}], "decoder": {{"type": "Fuse"}},)"
                  R"( "model": {{"type": "BPE", "vocab": {{{}}}, "merges": []}}}})",
                  special(0, "<s>"), special(1, "<|im_start|>"), special(2, "<|im_end|>"), vocab);
  Tokenizer::Files files;
  files.tokenizer_json = json;
  files.chat_template_jinja = chat_template;
  return Tokenizer::FromFiles(files).value();
}

std::shared_ptr<Model> BuildEncoder(const ArchitectureConfig& config,
                                    std::optional<PoolingConfig> pooling,
                                    std::int64_t batch_size = 4) {
  BuildInput input = MakeBuildInput(config, MakeSource(config, RandomWeights(config)));
  input.tokenizer = LetterPieces();
  input.pooling = pooling;
  input.batch_size = batch_size;
  return BuildModel(std::move(input)).value();
}

// The pooled vector of one text, from the plain forward pass and the definition of the mode.
std::vector<double> Pooled(const Model& model, const std::string& text, PoolingMode mode) {
  const Encoding encoding = model.tokenizer()->Encode(text);
  const auto tokens = std::ssize(encoding.ids);
  const auto output = model.Forward({1, tokens, encoding.ids}).value();
  const auto dim = static_cast<std::size_t>(model.description().hidden_size);
  const std::vector<float>& hidden = output.last_hidden_state->values;
  std::vector<double> vector(dim, mode == PoolingMode::kMax ? -1e30 : 0.0);
  for (std::size_t t = 0; t < encoding.ids.size(); ++t) {
    for (std::size_t i = 0; i < dim; ++i) {
      const double x = hidden[t * dim + i];
      if (mode == PoolingMode::kMean) vector[i] += x / static_cast<double>(tokens);
      if (mode == PoolingMode::kMax) vector[i] = std::max(vector[i], x);
      if (mode == PoolingMode::kCls && t == 0) vector[i] = x;
      if (mode == PoolingMode::kLastToken) vector[i] = x;
    }
  }
  return vector;
}

TEST(EmbedTest, EveryPoolingModeWithAndWithoutNormalization) {
  for (PoolingMode mode :
       {PoolingMode::kMean, PoolingMode::kCls, PoolingMode::kMax, PoolingMode::kLastToken}) {
    for (bool normalize : {false, true}) {
      const auto model = BuildEncoder(TinyBertConfig(), PoolingConfig{mode, normalize, 0});
      const auto found = model->Embed(kTexts);
      ASSERT_TRUE(found) << found.error().ToString();
      ASSERT_THAT(found->shape, ElementsAre(5, 36));
      for (std::size_t t = 0; t < kTexts.size(); ++t) {
        std::vector<double> expected = Pooled(*model, kTexts[t], mode);
        double norm = 0.0;
        for (double x : expected) norm += x * x;
        if (normalize) {
          for (double& x : expected) x /= std::sqrt(norm);
        }
        for (std::size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(found->values[t * 36 + i], expected[i], 1e-5) << kTexts[t] << ' ' << i;
        }
      }
    }
  }
}

TEST(EmbedTest, ABareEncoderTakesTheMeanAndTheBatchSizeChangesNothing) {
  const auto one = BuildEncoder(TinyBertConfig(), std::nullopt, 1)->Embed(kTexts).value();
  const auto many = BuildEncoder(TinyBertConfig(), std::nullopt, 64);
  const auto together = many->Embed(kTexts).value();
  for (std::size_t i = 0; i < one.values.size(); ++i) {
    ASSERT_NEAR(one.values[i], together.values[i], 1e-5);
  }
  const std::vector<double> mean = Pooled(*many, kTexts[0], PoolingMode::kMean);
  EXPECT_NEAR(together.values[3], mean[3], 1e-5);
  EXPECT_THAT(many->Embed({})->shape, ElementsAre(0, 36));
}

TEST(EmbedTest, TextsAreCutAtTheDeclaredLength) {
  const auto model = BuildEncoder(TinyBertConfig(), PoolingConfig{PoolingMode::kMean, false, 6});
  const std::vector<std::string> texts = {"abcdefgh", "abcdxxxx"};  // four pieces remain of each
  const auto found = model->Embed(texts).value();
  for (std::size_t i = 0; i < 36; ++i) ASSERT_EQ(found.values[i], found.values[36 + i]);
}

ArchitectureConfig ClassifierConfig(std::int64_t labels, bool multi_label) {
  ArchitectureConfig config = TinyBertConfig();
  config.head = ModelHead::kSequenceClassification;
  config.num_labels = labels;
  config.classifier_multi_label = multi_label;
  for (std::int64_t i = 0; i < labels; ++i) config.labels.push_back(fmt::format("L{}", i));
  return config;
}

TEST(ClassifyTest, OneOfManyLabelsIsASoftmaxAndOthersAreSigmoids) {
  for (const auto& [labels, multi_label] : {std::pair{3, false}, {3, true}, {1, false}}) {
    const auto model = BuildEncoder(ClassifierConfig(labels, multi_label), std::nullopt);
    const auto found = model->Classify(kTexts);
    ASSERT_TRUE(found) << found.error().ToString();
    ASSERT_THAT(found->shape, ElementsAre(5, labels));
    for (std::size_t t = 0; t < kTexts.size(); ++t) {
      const Encoding encoding = model->tokenizer()->Encode(kTexts[t]);
      const auto output = model->Forward({1, std::ssize(encoding.ids), encoding.ids});
      const std::vector<float> logits = output.value().logits.value().values;
      double sum = 0.0;
      for (float x : logits) sum += std::exp(double{x});
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const bool softmax = !multi_label && labels > 1;
        const double expected =
            softmax ? std::exp(logits[i]) / sum : 1.0 / (1.0 + std::exp(-double{logits[i]}));
        ASSERT_NEAR(found->values[t * logits.size() + i], expected, 1e-5);
      }
    }
  }
}

class TextGenerationTest : public ::testing::Test {
 protected:
  std::shared_ptr<Model> Build(const std::string& chat_template = "") {
    return BuildTinyModel(TinyLlamaConfig(), RandomWeights(TinyLlamaConfig()), 0,
                          Letters(chat_template));
  }
  static GenerationOptions Options(std::int64_t max_new_tokens,
                                   std::vector<std::string> stop = {}) {
    GenerationOptions options;
    options.max_new_tokens = max_new_tokens;
    options.stop = std::move(stop);
    return options;
  }
};

TEST_F(TextGenerationTest, TheTextIsThatOfTheIdsAndComesInPieces) {
  const auto model = Build();
  std::string streamed;
  const auto result = model->GenerateText("hello", Options(20), [&](std::string_view piece) {
    streamed += piece;
    return true;
  });
  ASSERT_TRUE(result) << result.error().ToString();
  EXPECT_EQ(result->prompt_tokens, 5);
  EXPECT_EQ(result->text, model->tokenizer()->Decode(result->ids));
  EXPECT_EQ(streamed, result->text);
  EXPECT_GE(result->text.size(), 10u);
}

TEST_F(TextGenerationTest, AStopTextEndsTheAnswerBeforeIt) {
  const auto model = Build();
  const std::string whole = model->GenerateText("hello", Options(20))->text;
  const std::string stop = whole.substr(6, 3);
  const std::size_t at = whole.find(stop);
  std::string streamed;
  const auto result =
      model->GenerateText("hello", Options(20, {stop, "never"}), [&](std::string_view piece) {
        streamed += piece;
        return true;
      });
  ASSERT_TRUE(result);
  EXPECT_EQ(result->finish_reason, FinishReason::kStopString);
  EXPECT_EQ(result->text, whole.substr(0, at));
  EXPECT_EQ(streamed, result->text);
}

// Special tokens are not part of the text, so a stop text that names one must be seen by its id.
TEST_F(TextGenerationTest, AStopTextThatIsASpecialTokenEndsTheAnswer) {
  ArchitectureConfig config = TinyLlamaConfig();
  config.eos_token_ids = {};
  // Embedding and head of <|im_end|> make it the answer to everything.
  auto weights = RandomWeights(config);
  const auto hidden = static_cast<std::size_t>(config.hidden_size);
  for (std::size_t i = 0; i < hidden; ++i) weights.at("lm_head.weight")[2 * hidden + i] = 0.0f;
  const auto probe = BuildTinyModel(config, weights, 0, Letters());
  const auto free = probe->GenerateText("hello", Options(1));
  ASSERT_TRUE(free);
  const auto chosen = static_cast<std::size_t>(free->ids.front());
  std::swap_ranges(
      weights.at("lm_head.weight").begin() + static_cast<std::ptrdiff_t>(2 * hidden),
      weights.at("lm_head.weight").begin() + static_cast<std::ptrdiff_t>(3 * hidden),
      weights.at("lm_head.weight").begin() + static_cast<std::ptrdiff_t>(chosen * hidden));
  const auto model = BuildTinyModel(config, weights, 0, Letters());
  const auto result = model->GenerateText("hello", Options(20, {"<|im_end|>"}));
  ASSERT_TRUE(result);
  EXPECT_THAT(result->ids, ElementsAre(2));
  EXPECT_EQ(result->finish_reason, FinishReason::kStopString);
  EXPECT_EQ(result->text, "");
}

// Text held back as a possible stop must not reach a sink that has asked to end.
TEST_F(TextGenerationTest, ASinkThatAskedToEndIsNotCalledAgain) {
  const auto model = Build();
  const std::string whole = model->GenerateText("hello", Options(20))->text;
  std::vector<std::string> stops;  // each letter is held back until the next one comes
  for (char letter : whole) stops.push_back({letter, '?'});
  int calls = 0;
  const auto result = model->GenerateText("hello", Options(20, stops), [&](std::string_view) {
    ++calls;
    return false;
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(result->finish_reason, FinishReason::kCancelled);
}

TEST_F(TextGenerationTest, HeldBackTextArrivesAtTheEnd) {
  const auto model = Build();
  const std::string whole = model->GenerateText("hello", Options(8))->text;
  std::string streamed;
  const auto result = model->GenerateText(
      "hello", Options(8, {whole.substr(whole.size() - 1) + "?"}), [&](std::string_view piece) {
        streamed += piece;
        return true;
      });
  EXPECT_EQ(streamed, whole);
  EXPECT_EQ(result->finish_reason, FinishReason::kMaxNewTokens);
}

TEST_F(TextGenerationTest, ChatUsesTheFormOfTheTemplate) {
  const auto model =
      Build("{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endfor %}");
  const ChatMessage message{"user", "hi"};
  const auto prompt = ApplyChatTemplate(*model->tokenizer(), {&message, 1});
  ASSERT_TRUE(prompt) << prompt.error().ToString();
  const auto chat = model->Chat({&message, 1}, Options(5));
  ASSERT_TRUE(chat) << chat.error().ToString();
  const auto text = model->GenerateText(*prompt, Options(5), {}, /*add_special_tokens=*/false);
  EXPECT_EQ(chat->ids, text->ids);
  EXPECT_EQ(Build()->Chat({&message, 1}, Options(5)).error().code(),
            ErrorCode::kFailedPrecondition);
}

}  // namespace
}  // namespace mdsa::engine
