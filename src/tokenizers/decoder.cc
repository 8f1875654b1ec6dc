#include "tokenizers/decoder.h"

#include <array>
#include <charconv>
#include <utility>

#include "tokenizers/byte_alphabet.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Passes everything on; the base of the stages that change only part of it.
class Stage : public DecoderStage {
 public:
  explicit Stage(DecoderStage* next) : next_(*next) {}
  void Write(std::string_view fragment) override { next_.Write(fragment); }
  void EndToken() override { next_.EndToken(); }
  void Finish() override { next_.Finish(); }

 protected:
  DecoderStage& next_;
};

// Base of the stages that need to see a whole token.
class WholeTokenStage : public Stage {
 public:
  using Stage::Stage;
  void Write(std::string_view fragment) override { token_.append(fragment); }
  void EndToken() override {
    HandleToken(&token_);
    token_.clear();
  }

 protected:
  virtual void HandleToken(std::string* token) = 0;
  void Emit(std::string_view token) {
    next_.Write(token);
    next_.EndToken();
  }

 private:
  std::string token_;
};

void ReplaceAll(std::string_view from, std::string_view to, std::string* text) {
  std::size_t at = text->find(from);
  if (at == std::string::npos) return;
  std::string out;
  std::size_t done = 0;
  for (; at != std::string::npos; at = text->find(from, done)) {
    out.append(*text, done, at - done).append(to);
    done = at + from.size();
  }
  out.append(*text, done);
  text->swap(out);
}

class WordPieceDecoder final : public WholeTokenStage {
 public:
  WordPieceDecoder(DecoderStage* next, std::string prefix, bool cleanup)
      : WholeTokenStage(next), prefix_(std::move(prefix)), cleanup_(cleanup) {}

 protected:
  void HandleToken(std::string* token) override {
    if (!first_) {
      if (token->starts_with(prefix_)) {
        token->erase(0, prefix_.size());
      } else {
        token->insert(0, 1, ' ');
      }
    }
    first_ = false;
    if (cleanup_) CleanUp(token);
    Emit(*token);
  }

 private:
  // Spaces that tokenization puts before punctuation and inside English contractions, in the order
  // of the reference.
  static void CleanUp(std::string* token) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kReplacements = {
        {{" .", "."},
         {" ?", "?"},
         {" !", "!"},
         {" ,", ","},
         {" ' ", "'"},
         {" n't", "n't"},
         {" 'm", "'m"},
         {" do not", " don't"},
         {" 's", "'s"},
         {" 've", "'ve"},
         {" 're", "'re"}}};
    if (token->find(' ') == std::string::npos) return;
    for (const auto& [from, to] : kReplacements) ReplaceAll(from, to, token);
  }

  std::string prefix_;
  bool cleanup_;
  bool first_ = true;
};

// Emits one token whose fragments are the characters completed so far.
class ByteLevelDecoder final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void Finish() override {
    Flush(true);
    next_.EndToken();
    next_.Finish();
  }

 protected:
  void HandleToken(std::string* token) override {
    ByteAlphabet::Get().AppendBytes(*token, &bytes_);
    Flush(false);
  }

 private:
  void Flush(bool at_end) {
    text_.clear();
    bytes_.erase(0, AppendLossy(bytes_, at_end, &text_));
    if (!text_.empty()) next_.Write(text_);
  }

  std::string bytes_;  // a character that is not complete yet
  std::string text_;
};

// A run of byte tokens becomes its text if the whole run is well-formed, else one U+FFFD each; so a
// run is held back until it ends.
class ByteFallbackDecoder final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void Finish() override {
    Flush();
    next_.Finish();
  }

 protected:
  void HandleToken(std::string* token) override {
    if (const int byte = ByteOf(*token); byte >= 0) {
      run_.push_back(static_cast<char>(byte));
    } else {
      Flush();
      Emit(*token);
    }
  }

 private:
  // The value of "<0x41>", else -1. A sign is read as the reference's number parser does.
  static int ByteOf(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    std::string_view digits = token.substr(3, 2);
    if (digits[0] == '+') digits.remove_prefix(1);
    unsigned value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value, 16);
    return error == std::errc() && stop == end ? static_cast<int>(value) : -1;
  }

  void Flush() {
    if (run_.empty()) return;
    if (IsWellFormedUtf8(run_)) {
      Emit(run_);
    } else {
      for (std::size_t i = 0; i < run_.size(); ++i) Emit("\xef\xbf\xbd");
    }
    run_.clear();
  }

  std::string run_;
};

class FuseDecoder final : public Stage {
 public:
  using Stage::Stage;
  void EndToken() override {}
  void Finish() override {
    next_.EndToken();
    next_.Finish();
  }
};

class MetaspaceDecoder final : public Stage {
 public:
  MetaspaceDecoder(DecoderStage* next, std::string replacement, bool drop_first)
      : Stage(next), replacement_(std::move(replacement)), drop_(drop_first) {}
  void Write(std::string_view fragment) override {
    std::string text(fragment);
    ReplaceAll(replacement_, drop_ ? "" : " ", &text);
    next_.Write(text);
  }
  void EndToken() override {
    drop_ = false;
    next_.EndToken();
  }

 private:
  std::string replacement_;
  bool drop_;
};

class ReplaceDecoder final : public WholeTokenStage {
 public:
  ReplaceDecoder(DecoderStage* next, const Pattern& pattern, std::string content)
      : WholeTokenStage(next), pattern_(pattern), content_(std::move(content)) {}
  void Write(std::string_view fragment) override {
    // One character cannot be cut by the end of a fragment, so nothing has to wait for it.
    const std::string* const literal = pattern_.literal();
    if (literal == nullptr || literal->empty() || CountChars(*literal) > 1) {
      WholeTokenStage::Write(fragment);
    } else {
      std::string text(fragment);
      ReplaceAll(*literal, content_, &text);
      next_.Write(text);
    }
  }

 protected:
  void HandleToken(std::string* token) override {
    std::string out;
    pattern_.ForEachSpan(*token, [&](std::size_t begin, std::size_t end, bool is_match) {
      out.append(is_match ? std::string_view(content_)
                          : std::string_view(*token).substr(begin, end - begin));
    });
    Emit(out);
  }

 private:
  const Pattern& pattern_;  // of the maker
  std::string content_;
};

class StripDecoder final : public Stage {
 public:
  StripDecoder(DecoderStage* next, std::string content, std::size_t start, std::size_t stop)
      : Stage(next), content_(std::move(content)), start_(start), stop_(stop), left_(start) {}
  void Write(std::string_view fragment) override {
    while (left_ > 0 && !fragment.empty()) {
      if (!fragment.starts_with(content_)) {
        left_ = 0;
        break;
      }
      fragment.remove_prefix(content_.size());
      --left_;
    }
    if (stop_ == 0) {
      next_.Write(fragment);
      return;
    }
    // Up to `stop_` contents at the end may have to go; they wait for what follows.
    std::string text;
    for (std::size_t i = 0; i < held_; ++i) text.append(content_);
    text.append(fragment);
    std::size_t end = text.size();
    held_ = 0;
    while (held_ < stop_ && std::string_view(text).substr(0, end).ends_with(content_)) {
      end -= content_.size();
      ++held_;
    }
    next_.Write(std::string_view(text).substr(0, end));
  }
  void EndToken() override {
    left_ = start_;
    held_ = 0;
    next_.EndToken();
  }

 private:
  std::string content_;
  std::size_t start_, stop_;
  std::size_t left_;      // how many may still be removed from the start
  std::size_t held_ = 0;  // contents held back
};

// The suffix that ends words becomes a space, but not in the last token, so each token waits.
class BpeDecoder final : public WholeTokenStage {
 public:
  BpeDecoder(DecoderStage* next, std::string suffix)
      : WholeTokenStage(next), suffix_(std::move(suffix)) {}
  void Finish() override {
    Release("");
    next_.Finish();
  }

 protected:
  void HandleToken(std::string* token) override {
    Release(" ");
    held_ = std::move(*token);
    has_held_ = true;
  }

 private:
  void Release(std::string_view replacement) {
    if (!has_held_) return;
    if (!suffix_.empty()) ReplaceAll(suffix_, replacement, &held_);
    Emit(held_);
  }

  std::string suffix_;
  std::string held_;
  bool has_held_ = false;
};

class SpaceDecoder final : public Stage {
 public:
  using Stage::Stage;
  void Write(std::string_view fragment) override {
    if (between_) next_.Write(" ");
    between_ = false;
    next_.Write(fragment);
  }
  void EndToken() override {
    between_ = true;
    next_.EndToken();
  }

 private:
  bool between_ = false;
};

}  // namespace

StageMaker WordPieceStage(std::string prefix, bool cleanup) {
  return [prefix = std::move(prefix), cleanup](DecoderStage* next) {
    return std::make_unique<WordPieceDecoder>(next, prefix, cleanup);
  };
}
StageMaker ByteLevelStage() {
  return [](DecoderStage* next) { return std::make_unique<ByteLevelDecoder>(next); };
}
StageMaker ByteFallbackStage() {
  return [](DecoderStage* next) { return std::make_unique<ByteFallbackDecoder>(next); };
}
StageMaker FuseStage() {
  return [](DecoderStage* next) { return std::make_unique<FuseDecoder>(next); };
}
StageMaker MetaspaceStage(std::string replacement, bool drop_first) {
  return [replacement = std::move(replacement), drop_first](DecoderStage* next) {
    return std::make_unique<MetaspaceDecoder>(next, replacement, drop_first);
  };
}
StageMaker ReplaceStage(Pattern pattern, std::string content) {
  auto shared = std::make_shared<const Pattern>(std::move(pattern));
  return [shared, content = std::move(content)](DecoderStage* next) {
    return std::make_unique<ReplaceDecoder>(next, *shared, content);
  };
}
StageMaker StripStage(std::string content, std::size_t start, std::size_t stop) {
  return [content = std::move(content), start, stop](DecoderStage* next) {
    return std::make_unique<StripDecoder>(next, content, start, stop);
  };
}
StageMaker BpeStage(std::string suffix) {
  return [suffix = std::move(suffix)](DecoderStage* next) {
    return std::make_unique<BpeDecoder>(next, suffix);
  };
}
StageMaker SpaceStage() {
  return [](DecoderStage* next) { return std::make_unique<SpaceDecoder>(next); };
}

class DecoderChain::Collector final : public DecoderStage {
 public:
  void Write(std::string_view fragment) override { text.append(fragment); }
  void EndToken() override {}
  void Finish() override {}

  std::string text;
};

DecoderChain::DecoderChain(const std::vector<StageMaker>& makers)
    : collector_(std::make_unique<Collector>()), front_(collector_.get()) {
  for (auto maker = makers.rbegin(); maker != makers.rend(); ++maker) {
    stages_.push_back((*maker)(front_));
    front_ = stages_.back().get();
  }
}

DecoderChain::~DecoderChain() = default;

void DecoderChain::AddToken(std::string_view spelling) {
  front_->Write(spelling);
  front_->EndToken();
}

void DecoderChain::Finish() { front_->Finish(); }

std::string DecoderChain::TakeText() { return std::exchange(collector_->text, {}); }

}  // namespace mdsa
