// Splitting of pieces at matches, in the five ways of tokenizer.json ("behavior").
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mdsa/tokenizer.h"

namespace mdsa {

enum class SplitBehavior : std::uint8_t {
  kRemoved,             // matches vanish
  kIsolated,            // every match is a piece of its own
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match begins the piece after it
  kContiguous,          // neighbouring matches are one piece
};

// A part of a text that is on its way to the model.
struct Piece {
  std::size_t begin;
  std::size_t end;
  TokenId id;          // of an added token, which no step touches any more; else kNoToken
  bool at_text_start;  // begins where the whole text begins
};
inline constexpr TokenId kNoToken = -1;

// Collects the spans of one piece in order and appends what the behaviour makes of them to a list,
// empty pieces left out. Not thread-safe.
class SplitCollector {
 public:
  SplitCollector(SplitBehavior behavior, const Piece& source, std::vector<Piece>* out)
      : behavior_(behavior), source_(source), out_(*out), first_(out->size()) {}

  // `begin` and `end` are relative to the piece.
  void Add(std::size_t begin, std::size_t end, bool is_match);
  void Finish();

 private:
  void Push(std::size_t begin, std::size_t end) {
    out_.push_back({source_.begin + begin, source_.begin + end, kNoToken,
                    source_.at_text_start && begin == 0});
  }
  bool HasPieces() const { return out_.size() > first_; }

  SplitBehavior behavior_;
  Piece source_;
  std::vector<Piece>& out_;
  std::size_t first_;
  bool previous_match_ = false;
};

}  // namespace mdsa
