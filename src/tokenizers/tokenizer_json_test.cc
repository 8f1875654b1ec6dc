// Whole tokenizers from JSON, and JSON that must be refused.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kBpe = R"({"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]})";

// A document with this model and these further members.
std::string Document(std::string_view members, std::string_view model = kBpe) {
  return fmt::format("{{{}{}\"model\":{}}}", members, members.empty() ? "" : ",", model);
}

TEST(TokenizerJson, MergesAsStringsOrPairs) {
  for (const char* merges : {R"(["#version: 0.2","a b"])", R"([["a","b"]])"}) {
    const auto tokenizer = FromJson(Document(
        "", fmt::format(R"({{"type":"BPE","vocab":{{"a":0,"b":1,"ab":2}},"merges":{}}})", merges)));
    ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
    EXPECT_THAT((*tokenizer)->Encode("abba").ids, ElementsAre(2, 1, 0));
    EXPECT_EQ((*tokenizer)->vocab_size(), 3);
  }
}

TEST(TokenizerJson, AWholePipeline) {
  const auto tokenizer = FromJson(Document(
      R"("truncation":{"max_length":1},"normalizer":{"type":"Lowercase"},
         "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"}]},
         "added_tokens":[{"id":9,"content":"<s>","special":true}],
         "post_processor":{"type":"TemplateProcessing",
           "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
           "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
           "special_tokens":{"<s>":{"id":"<s>","ids":[3],"tokens":["<s>"]}}},
         "decoder":{"type":"Fuse"})"));
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  EXPECT_THAT((*tokenizer)->Encode("AB<s> b").ids, ElementsAre(3, 2, 3, 1));
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{3, 2, 99, 1}), "abb");
  EXPECT_EQ((*tokenizer)->Decode(std::vector<TokenId>{3, 2}, false), "<s>ab");
  EXPECT_TRUE((*tokenizer)->IsSpecial(3));
  EXPECT_THAT((*tokenizer)->Encode("ab ab", {.max_length = 2}).ids, ElementsAre(3, 2));
  EXPECT_THAT((*tokenizer)->Encode("ab ab", {.max_length = 1}).ids, ElementsAre(3));
}

struct Bad {
  std::string json;
  std::string says;  // part of the message
  ErrorCode code = ErrorCode::kInvalidFormat;
};

std::string Repeated(std::string_view item, int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list.append(i == 0 ? "" : ",").append(item);
  return list;
}

// Small files that would make every text expensive.
TEST(TokenizerJson, RefusesWhatGrowsATextWithoutBound) {
  const std::string ten = R"({"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"})";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false})";
  const std::string piece = R"({"Sequence":{"id":"A","type_id":0}})";
  const std::pair<std::string, std::string_view> cases[] = {
      {R"("normalizer":{"type":"Sequence","normalizers":[)" + Repeated(ten, 12) + "]}", "longer"},
      {R"("decoder":{"type":"Sequence","decoders":[)" + Repeated(ten, 12) + "]}", "longer"},
      {R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + Repeated(bytes, 12) + "]}",
       "longer"},
      {R"("normalizer":{"type":"Sequence","normalizers":[)" + Repeated(R"({"type":"Strip"})", 200) +
           "]}",
       "steps"},
      {R"("post_processor":{"type":"TemplateProcessing","single":[)" + Repeated(piece, 100) +
           R"(],"pair":[]})",
       "post_processor.single"},
      {R"("post_processor":{"type":"TemplateProcessing","single":[],"pair":[],
           "special_tokens":{"x":{"ids":[)" +
           Repeated("0", 100) + "]}}}",
       "special_tokens.x.ids"},
  };
  for (const auto& [members, says] : cases) {
    const auto tokenizer = FromJson(Document(members));
    ASSERT_FALSE(tokenizer) << members.substr(0, 200);
    EXPECT_THAT(tokenizer.error().ToString(), HasSubstr(std::string(says)));
    EXPECT_EQ(tokenizer.error().code(), ErrorCode::kUnsupported);
  }
  const auto some = R"("normalizer":{"type":"Sequence","normalizers":[)" + Repeated(ten, 3) + "]}";
  EXPECT_TRUE(FromJson(Document(some)));
}

TEST(TokenizerJson, RefusesWithTheNameOfTheKey) {
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  const Bad cases[] = {
      {"", "neither", ErrorCode::kNotFound},
      {"{", "tokenizer.json is not valid JSON"},
      {"[]", "'tokenizer.json' is not an object"},
      {"{}", "tokenizer.json.model"},
      {deep, "not valid JSON"},
      {fmt::format(R"({{"model":{}}})", deep), "not valid JSON"},
      {R"({"version":"2.0","model":{}})", "2.0", ErrorCode::kUnsupported},
      {R"({"model":3})", "model' is not an object"},
      {Document("", R"({"type":"BPE"})"), "model.vocab"},
      {Document("", R"({"type":"BPE","vocab":[]})"), "model.vocab"},
      {Document("", R"({"type":"BPE","vocab":{"a":-1},"merges":[]})"), "id -1"},
      {Document("", R"({"type":"BPE","vocab":{"a":1e3},"merges":[]})"), "not an integer"},
      {Document("", R"({"type":"BPE","vocab":{"a":"0"},"merges":[]})"), "not an integer"},
      {Document("", R"({"type":"BPE","vocab":{"a":4000000000},"merges":[]})"), "4000000000"},
      {Document("", R"({"type":"BPE","vocab":{"a":99999999999999999999999},"merges":[]})"),
       "not an integer"},
      {Document("", R"({"type":"BPE","vocab":{"a":0}})"), "model.merges"},
      {Document("", R"({"type":"BPE","vocab":{"a":0},"merges":["a"]})"), "merges[0]"},
      {Document("", R"({"type":"BPE","vocab":{"a":0},"merges":["a a a"]})"), "merges[0]"},
      {Document("", R"({"type":"BPE","vocab":{"a":0},"merges":[["a"]]})"), "merges[0]"},
      {Document("", R"({"type":"BPE","vocab":{"a":0},"merges":["a a"]})"), "merge 0 needs"},
      {Document("", R"({"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1})"), "dropout",
       ErrorCode::kUnsupported},
      {Document("", R"({"type":"WordPiece","vocab":{"a":0}})"), "[UNK]"},
      {Document("", R"({"type":"Unigram","vocab":[]})"), "'Unigram'", ErrorCode::kUnsupported},
      {Document(R"("normalizer":{"type":"Precompiled"})"), "Precompiled", ErrorCode::kUnsupported},
      {Document(R"("normalizer":{"type":3})"), "normalizer.type"},
      {Document(R"("normalizer":{"type":"Sequence","normalizers":[1]})"), "normalizers[0]"},
      {Document(R"("normalizer":{"type":"Replace","pattern":{"Regex":"("},"content":""})"),
       "does not compile"},
      {Document(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"x"})"),
       "behavior"},
      {Document(R"("pre_tokenizer":{"type":"Metaspace","replacement":"ab"})"), "one character"},
      {Document(R"("pre_tokenizer":{"type":"UnicodeScripts"})"), "UnicodeScripts",
       ErrorCode::kUnsupported},
      {Document(R"("decoder":{"type":"Strip","content":"a","start":-1,"stop":0})"), "decoder"},
      {Document(R"("post_processor":{"type":"BertProcessing","sep":["a"],"cls":["b",1]})"),
       "post_processor.sep"},
      {Document(R"("post_processor":{"type":"BertProcessing","sep":["s",3],"cls":["b",1]})"),
       "post_processor' adds the id 3"},
      {Document(R"("post_processor":{"type":"TemplateProcessing",
          "single":[{"SpecialToken":{"id":"x","type_id":0}}],"pair":[]})"),
       "special_tokens lacks"},
      {Document(R"("post_processor":{"type":"TemplateProcessing",
          "single":[{"Sequence":{"id":"B","type_id":0}}],"pair":[]})"),
       "no text of this template"},
      {Document(R"("added_tokens":[{"id":-5,"content":"x"}])"), "added_tokens[0].id"},
      {Document(R"("added_tokens":[{"id":5}])"), "added_tokens[0].content"},
      {Document(R"("added_tokens":{})"), "added_tokens"},
  };
  for (const Bad& bad : cases) {
    const auto tokenizer = FromJson(bad.json);
    ASSERT_FALSE(tokenizer) << bad.json.substr(0, 200);
    EXPECT_THAT(tokenizer.error().ToString(), HasSubstr(bad.says));
    EXPECT_EQ(tokenizer.error().code(), bad.code) << bad.json.substr(0, 200);
  }
}

}  // namespace
}  // namespace mdsa
