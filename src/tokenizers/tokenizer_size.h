// How much memory a tokenizer will take, from the counts of its files: before it is loaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace mdsa {

// Upper bounds, for files that load.
struct TokenizerSize {
  std::uint64_t resident = 0;  // as Tokenizer::memory_bytes()
  std::uint64_t loading = 0;   // beside that, while it is read: texts, parsed forms, lists
};

// Walks the text of a tokenizer.json, which it does not check, and counts what takes memory.
// Thread-compatible.
class TokenizerJsonCounter {
 public:
  // The next part of the text.
  void Read(std::span<const std::byte> part);
  TokenizerSize Size() const;

 private:
  enum class Section : std::uint8_t { kOther, kVocab, kMerges };

  void ReadInString(char c);
  void ReadOutside(char c);
  void Open();

  std::uint64_t bytes_ = 0;
  std::uint64_t strings_ = 0;
  std::uint64_t structurals_ = 0;  // braces, brackets, colons, commas
  std::uint64_t tokens_ = 0;
  std::uint64_t token_bytes_ = 0;
  std::uint64_t merges_ = 0;
  std::uint64_t added_ = 0;

  std::uint64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  std::string key_;   // the last string at depth 1 or 2
  std::string root_;  // the key at depth 1 that we are in
  Section section_ = Section::kOther;
};

// `lines` of a vocab.txt of so many bytes.
TokenizerSize SizeOfVocabTxt(std::uint64_t bytes, std::uint64_t lines);

// What a GGUF file says under tokenizer.ggml.*.
struct GgufVocabularyCounts {
  std::uint64_t tokens = 0;
  std::uint64_t token_bytes = 0;
  std::uint64_t merges = 0;
  bool derives_merges = false;  // a scored vocabulary without merges
  std::uint64_t added = 0;      // tokens that are not of type 1
  std::uint64_t template_bytes = 0;
};
TokenizerSize SizeOfGguf(const GgufVocabularyCounts& counts);

}  // namespace mdsa
