// Whether a tokenizer takes what it says, and what its files foretold.
#include "tokenizers/tokenizer_size.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory_probe.h"
#include "mdsa/tokenizer.h"

namespace mdsa {
namespace {

constexpr std::size_t kTokens = 30'000;

// A token of letters, of a length that varies.
std::string Word(std::size_t i) {
  std::string word;
  for (std::size_t rest = i + 1; rest > 0; rest /= 26) {
    word.push_back(static_cast<char>('a' + rest % 26));
  }
  return word + std::string(i % 7, 'x');
}

std::string VocabTxt() {
  std::string text = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
  for (std::size_t i = 0; i < kTokens; ++i) text += Word(i) + fmt::format("{}\n", i);
  return text;
}

// Byte pair encoding with merges, added tokens and a regex. `space` is what stands between values.
std::string BpeJson(std::string_view space, std::size_t added_tokens) {
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  for (char c = 'a'; c <= 'z'; ++c) tokens.emplace_back(1, c);
  for (std::size_t i = 0; tokens.size() < kTokens; ++i) {
    const std::string left = tokens[i / 26];
    const std::string right(1, static_cast<char>('a' + i % 26));
    tokens.push_back(left + right);
    merges.push_back(
        fmt::format("{}[{}\"{}\",{}\"{}\"{}]", space, space, left, space, right, space));
  }
  std::string vocab;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    vocab += fmt::format("{}{}\"{}\":{}", i == 0 ? "" : ",", space, tokens[i], i);
  }
  std::string added;
  for (std::size_t i = 0; i < added_tokens; ++i) {
    added +=
        fmt::format(R"({}{{"id":{},"content":"<|reserved_special_token_{}|>","special":true}})",
                    i == 0 ? "" : ",", kTokens + i, i);
  }
  constexpr std::string_view kPreTokenizer =
      R"json({"type":"Split","pattern":{"Regex":"\\p{L}+|\\s+(?!\\S)"},"behavior":"Isolated"})json";
  return fmt::format(R"({{"added_tokens":[{}],"pre_tokenizer":{},)"
                     R"("model":{{"type":"BPE","vocab":{{{}}},"merges":[{}]}}}})",
                     added, kPreTokenizer, vocab, fmt::join(merges, ","));
}

TokenizerSize Count(std::string_view json) {
  TokenizerJsonCounter counter;
  // In parts, as a large file is read.
  for (std::size_t at = 0; at < json.size(); at += 1000) {
    counter.Read(std::as_bytes(std::span(json.substr(at, 1000))));
  }
  return counter.Size();
}

// Loads `files`, and loads them once more to compare what that takes with what is said.
void ExpectTrueSize(const Tokenizer::Files& files, const TokenizerSize& foretold) {
  const auto first = Tokenizer::FromFiles(files);  // and tables of the process
  ASSERT_TRUE(first) << first.error().ToString();
  const auto said = static_cast<double>((*first)->memory_bytes());
  EXPECT_GE(static_cast<double>(foretold.resident), said);
  EXPECT_LE(static_cast<double>(foretold.resident), 1.4 * said);
  if constexpr (test::kMemoryIsMeasurable) {
    const std::size_t before = test::HeapInUse();
    const auto second = Tokenizer::FromFiles(files);
    const auto taken = static_cast<double>(test::HeapInUse() - before);
    EXPECT_GE(said, taken);
    EXPECT_LE(said, 1.15 * taken);
  }
}

TEST(TokenizerSize, OfAVocabTxt) {
  const std::string vocab = VocabTxt();
  Tokenizer::Files files;
  files.vocab_txt = vocab;
  ExpectTrueSize(files, SizeOfVocabTxt(vocab.size(), kTokens + 5));
}

TEST(TokenizerSize, OfATokenizerJson) {
  for (const std::string_view space : {"", "\n      "}) {
    for (const std::size_t added : {0u, 3'000u}) {
      const std::string json = BpeJson(space, added);
      Tokenizer::Files files;
      files.tokenizer_json = json;
      ExpectTrueSize(files, Count(json));
    }
  }
}

TEST(TokenizerSize, OfAGguf) {
  Tokenizer::GgufVocabulary gguf;
  gguf.model = "llama";
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < kTokens; ++i) {
    gguf.tokens.push_back(fmt::format("t{}", i));
    bytes += gguf.tokens.back().size();
  }
  gguf.token_types.assign(kTokens, 1);
  gguf.token_types[7] = 3;
  const auto tokenizer = Tokenizer::FromGguf(gguf);
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  const TokenizerSize size =
      SizeOfGguf({.tokens = kTokens, .token_bytes = bytes, .derives_merges = true, .added = 1});
  EXPECT_GE(size.resident, (*tokenizer)->memory_bytes());
}

TEST(TokenizerSize, WhatIsNoTokenizerIsCountedWithoutHarm) {
  EXPECT_GT(Count("").loading, 0u);
  EXPECT_GT(Count("]]}}\"\\").loading, 0u);
  EXPECT_GT(Count(std::string(10'000, '[')).loading, 0u);
}

}  // namespace
}  // namespace mdsa
