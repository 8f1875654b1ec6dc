#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizers/regex.h"

#include <pcre2.h>

#include <cstdint>

#include "base/error.h"
#include "tokenizers/regex_translation.h"
#include "tokenizers/utf8.h"

namespace mdsa {
namespace {

// Far more than a sane pattern needs for one match, and a fraction of a second at worst.
constexpr std::uint32_t kMatchLimit = 2'000'000;
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
  MatchContextPtr context;
};

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return Err(ErrorCode::kUnsupported, "regex of {} bytes; at most {} are taken", pattern.size(),
               kMaxPatternBytes);
  }
  MDSA_ASSIGN(const std::string translated, TranslateRegex(pattern));
  CompileContextPtr compile_context(pcre2_compile_context_create(nullptr));
  auto code = std::make_shared<Code>();
  code->context.reset(pcre2_match_context_create(nullptr));
  if (!compile_context || !code->context) {
    return Err(ErrorCode::kResourceExhausted, "no memory for a regex");
  }
  pcre2_set_newline(compile_context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_match_limit(code->context.get(), kMatchLimit);
  pcre2_set_heap_limit(code->context.get(), kHeapLimitKib);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                 &offset,
                                 compile_context.get()));
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
  MatchDataPtr data(pcre2_match_data_create_from_pattern(code_->code.get(), nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t previous = 0;  // end of the last span given out
  std::size_t from = 0;      // where to search
  bool had_match = false;
  while (data != nullptr && from <= text.size()) {
    int found = pcre2_match(code_->code.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK,
                            data.get(), code_->context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code_->code.get(), subject, text.size(), from,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(), code_->context.get());
    }
    if (found < 0) break;
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = ends[0];
    const std::size_t end = ends[1];
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

Result<Pattern> Pattern::FromRegex(std::string_view regex) {
  MDSA_ASSIGN(Regex compiled, Regex::Compile(regex));
  return Pattern(std::move(compiled));
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
