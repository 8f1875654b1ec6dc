#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizers/regex.h"

#include <pcre2.h>

#include <cstdint>

#include "base/error.h"
#include "base/heap_bytes.h"
#include "tokenizers/regex_translation.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Work is what PCRE2 counts for its match limit, some nanoseconds each. A sane pattern needs no
// more than the free work at any place; more is paid from what a whole text may cost.
constexpr std::uint32_t kFreeWork = 500;
constexpr std::uint32_t kWorkFactor = 8;  // of one try to the next
constexpr std::uint64_t kTextWork = 20'000'000;
constexpr std::uint64_t kTextWorkPerByte = 50;
constexpr std::size_t kFirstWindow = 64;  // places to begin at that are tried at once
constexpr std::uint32_t kHeapLimitKib = 64 * 1024;
constexpr std::size_t kMaxPatternBytes = 64 * 1024;

template <auto kFree>
struct Freer {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using CodePtr = std::unique_ptr<pcre2_code, Freer<pcre2_code_free>>;
using MatchDataPtr = std::unique_ptr<pcre2_match_data, Freer<pcre2_match_data_free>>;
using MatchContextPtr = std::unique_ptr<pcre2_match_context, Freer<pcre2_match_context_free>>;
using CompileContextPtr = std::unique_ptr<pcre2_compile_context, Freer<pcre2_compile_context_free>>;

}  // namespace

struct Regex::Code {
  CodePtr code;
};

// Finds the matches of one text. Not thread-safe.
class Regex::Search {
 public:
  Search(const pcre2_code* code, std::string_view text)
      : code_(code),
        text_(text),
        context_(pcre2_match_context_create(nullptr)),
        data_(pcre2_match_data_create_from_pattern(code, nullptr)),
        work_(kTextWork + kTextWorkPerByte * text.size()) {
    if (context_ != nullptr) pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
  }

  // The next match that begins at `from` or later. False if there is none, no memory, or no work
  // left.
  bool Next(std::size_t from) {
    if (context_ == nullptr || data_ == nullptr) return false;
    for (std::size_t window = kFirstWindow;; window *= 2) {
      const std::size_t last = std::min(text_.size(), from + window);
      const int found = Try(from, last, kFreeWork);
      if (found >= 0) return true;
      if (found != PCRE2_ERROR_NOMATCH) break;
      if (last == text_.size()) return false;
      from = CharAfter(last);
    }
    // Somewhere in this window the free work is not enough.
    for (; from <= text_.size(); from = CharAfter(from)) {
      const int found = TryHard(from);
      if (found >= 0) return true;
      if (found != PCRE2_ERROR_NOMATCH) return false;
    }
    return false;
  }
  std::size_t begin() const { return pcre2_get_ovector_pointer(data_.get())[0]; }
  std::size_t end() const { return pcre2_get_ovector_pointer(data_.get())[1]; }

 private:
  // The first character that begins behind `at`, one past the end behind the last.
  std::size_t CharAfter(std::size_t at) const {
    for (++at; at < text_.size() && (static_cast<unsigned char>(text_[at]) & 0xc0) == 0x80;) ++at;
    return at;
  }

  // Matches that begin in [from, last], with a limit to the work at each place.
  int Try(std::size_t from, std::size_t last, std::uint32_t limit) {
    const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text_.data());
    pcre2_set_match_limit(context_.get(), limit);
    pcre2_set_offset_limit(context_.get(), last);
    int found = pcre2_match(code_, subject, text_.size(), from, PCRE2_NO_UTF_CHECK, data_.get(),
                            context_.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_, subject, text_.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                          data_.get(), context_.get());
    }
    return found;
  }

  // A match that begins at `from`, with as much work as it takes.
  int TryHard(std::size_t from) {
    std::uint64_t limit = kFreeWork;
    int found = Try(from, from, kFreeWork);
    while (found == PCRE2_ERROR_MATCHLIMIT) {
      limit = std::min<std::uint64_t>(limit * kWorkFactor, UINT32_MAX);
      if (limit > work_) return found;
      work_ -= limit;
      found = Try(from, from, static_cast<std::uint32_t>(limit));
    }
    return found;
  }

  const pcre2_code* code_;
  std::string_view text_;
  MatchContextPtr context_;
  MatchDataPtr data_;
  std::uint64_t work_;  // left for this text
};

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return Err(ErrorCode::kUnsupported, "regex of {} bytes; at most {} are taken", pattern.size(),
               kMaxPatternBytes);
  }
  MDSA_ASSIGN(const std::string translated, TranslateRegex(pattern));
  CompileContextPtr compile_context(pcre2_compile_context_create(nullptr));
  auto code = std::make_shared<Code>();
  if (!compile_context) {
    return Err(ErrorCode::kResourceExhausted, "no memory for a regex");
  }
  pcre2_set_newline(compile_context.get(), PCRE2_NEWLINE_LF);
  constexpr std::uint32_t kOptions =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  int error = 0;
  PCRE2_SIZE offset = 0;
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                 kOptions, &error, &offset, compile_context.get()));
  if (!code->code) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return Err(ErrorCode::kInvalidFormat, "regex '{}' does not compile: {} (near byte {})",
               pattern.substr(0, 200), reinterpret_cast<const char*>(message), offset);
  }
  // Without JIT the interpreter does the same work slower.
  pcre2_jit_compile(code->code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(code));
}

void Regex::ForEachSpan(std::string_view text, SpanSink sink) const {
  if (text.empty()) return;
  Search search(code_->code.get(), text);
  std::size_t previous = 0;  // end of the last span given out
  std::size_t from = 0;      // where to search
  bool had_match = false;
  while (from <= text.size() && search.Next(from)) {
    const std::size_t begin = search.begin();
    const std::size_t end = search.end();
    if (begin == end && had_match && previous == end) {
      // An empty match right after a match would never end.
      from = end + (end < text.size() ? Utf8Length(text[end]) : 1);
      continue;
    }
    if (previous != begin) sink(previous, begin, false);
    sink(begin, end, true);
    previous = from = end;
    had_match = true;
  }
  if (previous != text.size()) sink(previous, text.size(), false);
}

std::size_t Regex::memory_bytes() const {
  std::size_t code = 0;
  std::size_t machine_code = 0;
  pcre2_pattern_info(code_->code.get(), PCRE2_INFO_SIZE, &code);
  pcre2_pattern_info(code_->code.get(), PCRE2_INFO_JITSIZE, &machine_code);
  return HeapBlockBytes(sizeof(Code) + 2 * sizeof(void*)) + HeapBlockBytes(code) +
         HeapBlockBytes(machine_code);
}

Result<Pattern> Pattern::FromRegex(std::string_view regex) {
  MDSA_ASSIGN(Regex compiled, Regex::Compile(regex));
  return Pattern(std::move(compiled));
}

std::size_t Pattern::memory_bytes() const {
  const std::string* const text = literal();
  return text != nullptr ? HeapBytes(*text) : std::get<Regex>(pattern_).memory_bytes();
}

void Pattern::ForEachSpan(std::string_view text, SpanSink sink) const {
  const std::string* const needle = literal();
  if (needle == nullptr) return std::get<Regex>(pattern_).ForEachSpan(text, sink);
  if (text.empty()) return;
  std::size_t previous = 0;
  while (!needle->empty()) {
    const std::size_t begin = text.find(*needle, previous);
    if (begin == std::string_view::npos) break;
    if (begin != previous) sink(previous, begin, false);
    previous = begin + needle->size();
    sink(begin, previous, true);
  }
  if (previous != text.size()) sink(previous, text.size(), false);
}

}  // namespace mdsa
