#include "tokenizers/pre_tokenizer.h"

#include "base/heap_bytes.h"
#include "tokenizers/byte_alphabet.h"
#include "tokenizers/utf8.h"

namespace mdsa {

void PieceList::Split(FunctionRef<void(const Piece& piece, std::vector<Piece>* out)> split) {
  std::vector<Piece> result;
  result.reserve(pieces.size() + text.size() / 4);
  for (const Piece& piece : pieces) {
    if (piece.id != kNoToken) {
      result.push_back(piece);
    } else {
      split(piece, &result);
    }
  }
  pieces.swap(result);
}

void PieceList::Rewrite(FunctionRef<void(const Piece& piece, std::string* out)> rewrite) {
  std::string result;
  result.reserve(text.size() + text.size() / 4);
  for (Piece& piece : pieces) {
    const std::size_t begin = result.size();
    if (piece.id == kNoToken) rewrite(piece, &result);
    piece.begin = begin;
    piece.end = result.size();
  }
  text.swap(result);
}

void SequencePreTokenizer::Apply(PieceList* list) const {
  for (const auto& step : steps_) step->Apply(list);
}

std::size_t SequencePreTokenizer::memory_bytes() const {
  std::size_t bytes = kSmallBytes + HeapBytes(steps_);
  for (const auto& step : steps_) bytes += step->memory_bytes();
  return bytes;
}

void ClassSplit::Apply(PieceList* list) const {
  const CharTable& table = CharTable::Get();
  list->Split([&](const Piece& piece, std::vector<Piece>* out) {
    const std::string_view text = list->Text(piece);
    SplitCollector collector(behavior_, piece, out);
    std::size_t previous = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t start = i;
      if (!table.Is(NextChar(text, &i), delimiter_)) continue;
      if (previous < start) collector.Add(previous, start, false);
      collector.Add(start, i, true);
      previous = i;
    }
    if (previous < text.size()) collector.Add(previous, text.size(), false);
    collector.Finish();
  });
}

void BertPreTokenizer::Apply(PieceList* list) const {
  const CharTable& table = CharTable::Get();
  list->Split([&](const Piece& piece, std::vector<Piece>* out) {
    const std::string_view text = list->Text(piece);
    const auto push = [&](std::size_t begin, std::size_t end) {
      if (begin == end) return;
      out->push_back(
          {piece.begin + begin, piece.begin + end, kNoToken, piece.at_text_start && begin == 0});
    };
    std::size_t word = 0;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t start = i;
      const std::uint16_t classes = table.Classes(NextChar(text, &i));
      if ((classes & (kSpace | kPunctuation)) == 0) continue;
      push(word, start);
      if ((classes & kSpace) == 0) push(start, i);
      word = i;
    }
    push(word, text.size());
  });
}

void WhitespacePreTokenizer::Apply(PieceList* list) const {
  const CharTable& table = CharTable::Get();
  constexpr std::uint16_t kBoth = kWordChar | kSpace;
  list->Split([&](const Piece& piece, std::vector<Piece>* out) {
    const std::string_view text = list->Text(piece);
    std::size_t run = 0;
    std::uint16_t run_class = kSpace;
    const auto push = [&](std::size_t end) {
      if (run == end || run_class == kSpace) return;
      out->push_back(
          {piece.begin + run, piece.begin + end, kNoToken, piece.at_text_start && run == 0});
    };
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t start = i;
      const std::uint16_t one = table.Classes(NextChar(text, &i)) & kBoth;
      if (one == run_class) continue;
      push(start);
      run = start;
      run_class = one;
    }
    push(text.size());
  });
}

void PatternSplit::Apply(PieceList* list) const {
  list->Split([&](const Piece& piece, std::vector<Piece>* out) {
    SplitCollector collector(behavior_, piece, out);
    pattern_.ForEachSpan(list->Text(piece), [&](std::size_t begin, std::size_t end, bool is_match) {
      collector.Add(begin, end, is_match != invert_);
    });
    collector.Finish();
  });
}

void WordSplit::Apply(PieceList* list) const {
  list->Split([&](const Piece& piece, std::vector<Piece>* out) {
    SplitWords(pattern_, list->Text(piece), [&](std::size_t begin, std::size_t end) {
      out->push_back(
          {piece.begin + begin, piece.begin + end, kNoToken, piece.at_text_start && begin == 0});
    });
  });
}

void ByteLevelPreTokenizer::Apply(PieceList* list) const {
  if (add_prefix_space_) {
    list->Rewrite([&](const Piece& piece, std::string* out) {
      const std::string_view text = list->Text(piece);
      if (!text.empty() && !text.starts_with(' ')) out->push_back(' ');
      out->append(text);
    });
  }
  if (use_regex_) WordSplit(WordPattern::kGpt2).Apply(list);
  const ByteAlphabet& alphabet = ByteAlphabet::Get();
  list->Rewrite([&](const Piece& piece, std::string* out) {
    alphabet.AppendSpelled(list->Text(piece), out);
  });
}

void MetaspacePreTokenizer::Apply(PieceList* list) const {
  list->Rewrite([&](const Piece& piece, std::string* out) {
    const std::string_view text = list->Text(piece);
    const bool wanted = scheme_ == PrependScheme::kAlways ||
                        (scheme_ == PrependScheme::kFirst && piece.at_text_start);
    if (wanted && !text.empty() && !text.starts_with(' ') && !text.starts_with(replacement_)) {
      out->append(replacement_);
    }
    for (const char c : text) {
      if (c == ' ') {
        out->append(replacement_);
      } else {
        out->push_back(c);
      }
    }
  });
  if (split_) {
    PatternSplit(Pattern::FromString(replacement_), SplitBehavior::kMergedWithNext, false)
        .Apply(list);
  }
}

}  // namespace mdsa
