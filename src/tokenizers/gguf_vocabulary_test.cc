// Tokenizers from the metadata of a GGUF file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tokenizer::GgufVocabulary ByteLevel() {
  Tokenizer::GgufVocabulary gguf;
  gguf.model = "gpt2";
  gguf.pre = "smollm";
  gguf.tokens = {"<|end|>", "a", "b", "ab", "\u0120", "\u0120a", "<think>"};
  gguf.token_types = {3, 1, 1, 1, 1, 1, 4};
  gguf.merges = {"a b", "\u0120 a"};
  gguf.special.bos = 0;
  gguf.chat_template = "t";
  return gguf;
}

TEST(GgufVocabulary, ByteLevel) {
  const auto tokenizer = *Tokenizer::FromGguf(ByteLevel());
  EXPECT_THAT(tokenizer->Encode("ab a<|end|><think>b").ids, ElementsAre(3, 5, 0, 6, 2));
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{3, 5, 0, 6}), "ab a<think>");
  EXPECT_EQ(tokenizer->chat_template(), "t");
  EXPECT_TRUE(tokenizer->IsSpecial(0));
}

TEST(GgufVocabulary, SmolLmCutsDigitsBeforeWords) {
  auto gguf = ByteLevel();
  gguf.tokens = {"<|end|>", "1", "\u010a", "\u010a\u010a", ".", "\u0120", "\u01201"};
  gguf.token_types = {3, 1, 1, 1, 1, 1, 1};
  gguf.merges = {"\u010a \u010a", "\u0120 1"};
  EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("\n\n1. 1").ids, ElementsAre(3, 1, 4, 5, 1));
  gguf.pre = "gpt-2";
  EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("\n\n1. 1").ids, ElementsAre(2, 2, 1, 4, 6));
}

// A token that no merge makes is found only where merges are ignored.
TEST(GgufVocabulary, ThePreTokenizerDecidesOnMergesAndBos) {
  for (const char* const pre : {"llama-bpe", "tekken", "pixtral"}) {
    auto gguf = ByteLevel();
    gguf.pre = pre;
    gguf.tokens.push_back("bb");
    gguf.token_types.push_back(1);
    EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("bb").ids, ElementsAre(0, 7)) << pre;
    gguf.add_bos = false;
    EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("bb").ids, ElementsAre(7)) << pre;
    gguf.pre = "qwen2";
    gguf.add_bos.reset();
    EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("bb").ids, ElementsAre(2, 2));
  }
}

TEST(GgufVocabulary, BosWhereTheFileAsksForIt) {
  auto gguf = ByteLevel();
  gguf.add_bos = true;
  EXPECT_THAT((*Tokenizer::FromGguf(gguf))->Encode("a").ids, ElementsAre(0, 1));
  EXPECT_THAT((*Tokenizer::FromGguf(gguf))->EncodePair("a", "b").type_ids, ElementsAre(0, 0, 1, 1));
}

TEST(GgufVocabulary, SentencePieceMergesAreDerivedFromScores) {
  Tokenizer::GgufVocabulary gguf;
  gguf.model = "llama";
  gguf.tokens = {"<unk>", "<s>", "\u2581", "a", "b", "ab", "\u2581a", "<0x21>"};
  gguf.scores = {0, 0, -5, -6, -7, -2, -1, 0};
  gguf.token_types = {2, 3, 1, 1, 1, 1, 1, 6};
  gguf.special.bos = 1;
  const auto tokenizer = *Tokenizer::FromGguf(gguf);
  EXPECT_THAT(tokenizer->Encode("ab ab!").ids, ElementsAre(1, 6, 4, 6, 4, 7));
  EXPECT_EQ(tokenizer->Decode(std::vector<TokenId>{1, 6, 4, 6, 7}), "ab a!");
}

TEST(GgufVocabulary, WordPiece) {
  Tokenizer::GgufVocabulary gguf;
  gguf.model = "bert";
  gguf.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581hello", "s"};
  const auto tokenizer = *Tokenizer::FromGguf(gguf);
  EXPECT_THAT(tokenizer->Encode("Hellos").ids, ElementsAre(2, 4, 5, 3));
}

TEST(GgufVocabulary, BadOnesAreErrors) {
  const auto message = [](const Tokenizer::GgufVocabulary& gguf) {
    const auto tokenizer = Tokenizer::FromGguf(gguf);
    return tokenizer ? "" : tokenizer.error().ToString();
  };
  EXPECT_THAT(message({}), HasSubstr("tokens"));
  auto gguf = ByteLevel();
  gguf.model = "rwkv";
  EXPECT_THAT(message(gguf), HasSubstr("'rwkv'"));
  gguf = ByteLevel();
  gguf.pre = "nobody";
  EXPECT_THAT(message(gguf), HasSubstr("'nobody'"));
  gguf = ByteLevel();
  gguf.merges = {"a"};
  EXPECT_THAT(message(gguf), HasSubstr("merges[0]"));
  gguf.merges = {"a q"};
  EXPECT_THAT(message(gguf), HasSubstr("'q'"));
  gguf = ByteLevel();
  gguf.special.eos = 7;
  EXPECT_THAT(message(gguf), HasSubstr("id 7"));
  gguf = ByteLevel();
  gguf.tokens[1] = "\xff";
  EXPECT_THAT(message(gguf), HasSubstr("tokens[1]"));
}

}  // namespace
}  // namespace mdsa
