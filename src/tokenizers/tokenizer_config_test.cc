// Roles, chat templates and limits from the files beside tokenizer.json.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::HasSubstr;

constexpr std::string_view kJson =
    R"({"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]},
        "added_tokens":[{"id":2,"content":"<s>","special":true}]})";

Result<std::shared_ptr<const Tokenizer>> Make(std::string_view config, std::string_view map = "",
                                              std::string_view jinja = "") {
  return Tokenizer::FromFiles({.tokenizer_json = kJson,
                               .tokenizer_config_json = config,
                               .special_tokens_map_json = map,
                               .vocab_txt = {},
                               .chat_template_jinja = jinja});
}

TEST(TokenizerConfig, RolesAsStringsOrObjects) {
  const auto tokenizer = *Make(R"({"bos_token":"<s>","eos_token":{"content":"b","lstrip":false},
                                   "pad_token":null,"unk_token":"nowhere"})",
                               R"({"bos_token":"b","cls_token":"a"})");
  EXPECT_EQ(tokenizer->special_tokens().bos, 2);
  EXPECT_EQ(tokenizer->special_tokens().eos, 1);
  EXPECT_EQ(tokenizer->special_tokens().cls, 0);
  EXPECT_EQ(tokenizer->special_tokens().pad, std::nullopt);
  EXPECT_EQ(tokenizer->special_tokens().unk, std::nullopt);
}

TEST(TokenizerConfig, ChatTemplates) {
  EXPECT_EQ((*Make(R"({"chat_template":"x"})"))->chat_template(), "x");
  EXPECT_EQ((*Make(R"({"chat_template":[{"name":"rag","template":"r"},
                                        {"name":"default","template":"d"}]})"))
                ->chat_template(),
            "d");
  EXPECT_EQ((*Make(R"({"chat_template":"x"})", "", "file"))->chat_template(), "file");
  EXPECT_EQ((*Make("{}"))->chat_template(), "");
}

TEST(TokenizerConfig, LengthAndSide) {
  EXPECT_EQ((*Make(R"({"model_max_length":512,"padding_side":"left"})"))->model_max_length(), 512);
  EXPECT_TRUE((*Make(R"({"padding_side":"left"})"))->pads_left());
  // What transformers writes for "no limit", an integer of 31 digits.
  EXPECT_EQ(
      (*Make(
           R"({"x\"1":"12345678901234567890123","model_max_length":1000000000000000019884624838656})"))
          ->model_max_length(),
      0);
}

TEST(TokenizerConfig, BadOnesNameTheKey) {
  for (const char* config : {R"({"bos_token":3})", R"({"bos_token":{}})", R"({"bos_token":[1]})"}) {
    EXPECT_THAT(Make(config).error().ToString(), HasSubstr("bos_token"));
  }
  EXPECT_THAT(Make(R"({"chat_template":[3]})").error().ToString(), HasSubstr("chat_template[0]"));
  EXPECT_THAT(Make(R"({"model_max_length":"x"})").error().ToString(),
              HasSubstr("model_max_length"));
  EXPECT_THAT(Make("nonsense").error().ToString(), HasSubstr("tokenizer_config.json"));
  EXPECT_THAT(Make("", "[]").error().ToString(), HasSubstr("special_tokens_map.json"));
}

TEST(TokenizerConfig, TruncationSide) {
  const auto encode = [](std::string_view config, std::int64_t length) {
    return (*Make(config))->Encode("abab", {.max_length = length}).ids;
  };
  const auto all = encode("{}", 0);
  ASSERT_GE(all.size(), 2u);
  EXPECT_EQ(encode("{}", 1), std::vector<TokenId>(all.begin(), all.begin() + 1));
  EXPECT_EQ(encode(R"({"truncation_side":"left"})", 1),
            std::vector<TokenId>(all.end() - 1, all.end()));
  EXPECT_THAT(Make(R"({"truncation_side":3})").error().ToString(), HasSubstr("truncation_side"));
}

TEST(VocabTxt, NeedsOnlyTheTokensThatTextsGet) {
  const auto tokenizer = Tokenizer::FromFiles({.tokenizer_json = {},
                                               .tokenizer_config_json = {},
                                               .special_tokens_map_json = {},
                                               .vocab_txt = "[UNK]\n[CLS]\n[SEP]\na\n",
                                               .chat_template_jinja = {}});
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  EXPECT_THAT((*tokenizer)->Encode("a [MASK]").ids, testing::ElementsAre(1, 3, 0, 0, 0, 2));
  EXPECT_EQ((*tokenizer)->special_tokens().mask, std::nullopt);
}

TEST(VocabTxt, BuildsBert) {
  const std::string vocab = "[PAD]\n[UNK]\r\n[CLS]\n[SEP]\n[MASK]\nhello\n##s\n!\nhello\n";
  const auto make = [&](std::string_view config) {
    return Tokenizer::FromFiles({.tokenizer_json = {},
                                 .tokenizer_config_json = config,
                                 .special_tokens_map_json = {},
                                 .vocab_txt = vocab,
                                 .chat_template_jinja = {}});
  };
  const auto tokenizer = *make("");
  EXPECT_THAT(tokenizer->Encode("Hellos! x[MASK]").ids, testing::ElementsAre(2, 8, 6, 7, 1, 4, 3));
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{2, 8, 6, 7, 3}), "hellos!");
  EXPECT_EQ(tokenizer->special_tokens().sep, 3);
  EXPECT_EQ(tokenizer->vocab_size(), 9);
  EXPECT_THAT((*make(R"({"do_lower_case":false})"))->Encode("Hello").ids,
              testing::ElementsAre(2, 1, 3));
  EXPECT_THAT(make(R"({"cls_token":"<c>"})").error().ToString(), HasSubstr("'<c>'"));
}

}  // namespace
}  // namespace mdsa
