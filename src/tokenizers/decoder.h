// Decoders: from the spellings of tokens back to text. One class per `type` of tokenizer.json.
//
// A decoder is a chain of stages through which tokens flow one after another, so that decoding a
// whole list and decoding a stream are the same code and give the same text. A token may arrive in
// several fragments (Fuse makes one endless token of everything); fragments are whole characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/regex.h"

namespace mdsa {

// One stage at work. Not thread-safe.
class DecoderStage {
 public:
  virtual ~DecoderStage() = default;
  virtual void Write(std::string_view fragment) = 0;
  virtual void EndToken() = 0;
  // The last token has ended. Must pass the call on.
  virtual void Finish() = 0;
};

// Makes a stage that feeds `next`, which outlives it. Made once from tokenizer.json; thread-safe.
using StageMaker = std::function<std::unique_ptr<DecoderStage>(DecoderStage* next)>;

StageMaker WordPieceStage(std::string prefix, bool cleanup);
StageMaker ByteLevelStage();
StageMaker ByteFallbackStage();
StageMaker FuseStage();
// `replacement` is one character; it becomes a space, or nothing in the first token if
// `drop_first`.
StageMaker MetaspaceStage(std::string replacement, bool drop_first);
StageMaker ReplaceStage(Pattern pattern, std::string content);
// Removes up to `start` and `stop` times the character `content` from the ends of each token.
StageMaker StripStage(std::string content, std::size_t start, std::size_t stop);
StageMaker BpeStage(std::string suffix);
// What stands in for a missing decoder: tokens with a space between them.
StageMaker SpaceStage();

// A running chain whose end collects text. Not thread-safe.
class DecoderChain {
 public:
  explicit DecoderChain(const std::vector<StageMaker>& makers);
  ~DecoderChain();
  DecoderChain(const DecoderChain&) = delete;
  DecoderChain& operator=(const DecoderChain&) = delete;

  void AddToken(std::string_view spelling);
  void Finish();
  // The text that has come out since the last call.
  std::string TakeText();

 private:
  class Collector;
  std::unique_ptr<Collector> collector_;
  std::vector<std::unique_ptr<DecoderStage>> stages_;  // last stage first
  DecoderStage* front_;
};

}  // namespace mdsa
