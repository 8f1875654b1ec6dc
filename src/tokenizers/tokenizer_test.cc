#include "mdsa/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tokenizers/byte_alphabet.h"
#include "tokenizers/test_util.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Every byte is a token, and two tokens are special.
std::shared_ptr<const Tokenizer> Bytes() {
  Tokenizer::GgufVocabulary gguf;
  gguf.model = "gpt2";
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string token;
    AppendUtf8(ByteAlphabet::Get().CharOf(static_cast<unsigned char>(byte)), &token);
    gguf.tokens.push_back(token);
  }
  gguf.tokens.insert(gguf.tokens.end(), {"<a>", "<b>"});
  gguf.token_types.assign(256, 1);
  gguf.token_types.insert(gguf.token_types.end(), {3, 3});
  return *Tokenizer::FromGguf(gguf);
}

TEST(Tokenizer, IllFormedTextIsReadWithReplacements) {
  const auto tokenizer = Bytes();
  EXPECT_EQ(tokenizer->Encode("a\xff\xe2\x82").ids, tokenizer->Encode("a\uFFFD\uFFFD").ids);
  EXPECT_TRUE(tokenizer->Encode("").ids.empty());
}

TEST(Tokenizer, DecodeIsAlwaysWellFormed) {
  const auto tokenizer = Bytes();
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    std::vector<TokenId> ids;
    for (int j = 0; j < 20; ++j) ids.push_back(static_cast<TokenId>(random() % 300) - 10);
    EXPECT_TRUE(IsWellFormedUtf8(tokenizer->Decode(ids, i % 2 == 0)));
  }
}

TEST(DecodeStream, EqualsDecodeAndSplitsNoCharacter) {
  const auto tokenizer = Bytes();
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    std::vector<TokenId> ids;
    for (int j = 0; j < 30; ++j) ids.push_back(static_cast<TokenId>(random() % 260));
    const bool skip = i % 2 == 0;
    DecodeStream stream(tokenizer, skip);
    std::string text;
    for (const TokenId id : ids) {
      const std::string piece = stream.Push(id);
      EXPECT_TRUE(IsWellFormedUtf8(piece));
      text += piece;
    }
    EXPECT_EQ(text + stream.Finish(), tokenizer->Decode(ids, skip));
  }
}

TEST(DecodeStream, IsReadyAgainAfterFinish) {
  DecodeStream stream(Bytes());
  EXPECT_EQ(stream.Push(0xe2), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
  EXPECT_EQ(stream.Push('x'), "x");
}

// Bytes that never make a character: holding them all back would be quadratic and silent.
TEST(DecodeStream, GivesOutWhatCannotBecomeACharacter) {
  DecodeStream stream(Bytes());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(stream.Push(0xff), "\uFFFD");
}

// What threads share: the regex, the table of words that merge into themselves, lazy tables.
TEST(Tokenizer, ManyThreads) {
  const auto tokenizer = *FromJson(R"({
      "pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\p{L}+|\\p{N}"},"behavior":"Isolated"},
      "decoder":{"type":"Fuse"},
      "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"1":3,"abab":4},
               "merges":["a b","ab ab"]}})");
  constexpr int kThreads = 4;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const std::vector<TokenId> expected = {4, 3, 3, 2, 0};
      for (int i = 0; i < 200; ++i) {
        const auto ids = tokenizer->Encode("abab11aba").ids;
        DecodeStream stream(tokenizer);
        std::string text;
        for (const TokenId id : ids) text += stream.Push(id);
        text += stream.Finish();
        if (ids != expected || text != "abab11aba" || tokenizer->Decode(ids) != text) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Tokenizer, NamesAndSizes) {
  const auto tokenizer = Bytes();
  EXPECT_EQ(tokenizer->vocab_size(), 258);
  EXPECT_EQ(tokenizer->TokenToId("<b>"), 257);
  EXPECT_EQ(tokenizer->IdToToken(256), "<a>");
  EXPECT_EQ(tokenizer->IdToToken(258), std::nullopt);
  EXPECT_GT(tokenizer->memory_bytes(), 256u * 8);
}

}  // namespace
}  // namespace mdsa
