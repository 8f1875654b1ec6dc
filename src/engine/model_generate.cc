// Model::Generate: prefill, then one token a step until something ends the answer.
#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/error.h"
#include "engine/decoder_session.h"
#include "engine/runner.h"
#include "engine/sampler.h"
#include "engine/stop_strings.h"
#include "mdsa/model.h"

namespace mdsa {
namespace {

using engine::DecoderSession;
using engine::Runner;
using engine::Sampler;
using engine::StopMatcher;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::uint64_t RandomSeed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

// The text side of a generation: from ids to final pieces for the sink.
class TextOutput {
 public:
  TextOutput(const std::shared_ptr<const Tokenizer>& tokenizer, StopMatcher stops,
             const TextSink& sink, std::string& text)
      : stops_(std::move(stops)), sink_(sink), text_(text) {
    if (tokenizer != nullptr) decoder_.emplace(tokenizer);
  }

  bool stopped() const { return stops_.stopped(); }
  // Both are false if the sink asks to end.
  bool Push(TokenId id) { return !decoder_ || Emit(stops_.Push(decoder_->Push(id))); }
  bool Finish() {
    if (!decoder_ || stopped()) return true;
    const bool more = Emit(stops_.Push(decoder_->Finish()));
    return Emit(stops_.Finish()) && more;
  }

 private:
  bool Emit(const std::string& piece) {
    if (piece.empty()) return true;
    text_ += piece;
    return !sink_ || sink_(piece);
  }

  std::optional<DecodeStream> decoder_;
  StopMatcher stops_;
  const TextSink& sink_;
  std::string& text_;
};

Status CheckPrompt(const Runner& runner, std::span<const TokenId> prompt) {
  if (!runner.description().can_generate) {
    return Err(ErrorCode::kUnsupported, "{} has no language model head and cannot generate text",
               runner.description().architecture);
  }
  if (prompt.empty()) return Err(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (std::ssize(prompt) >= runner.length_limit()) {
    return Err(ErrorCode::kResourceExhausted,
               "the prompt has {} tokens, and prompt and answer together may have {}; shorten the "
               "prompt or load the model with a larger max_length (its context is {})",
               prompt.size(), runner.length_limit(), runner.context_length());
  }
  return Runner::CheckIds(prompt, runner.config().vocab_size, "prompt");
}

// One generation in progress.
class Generation {
 public:
  Generation(const Runner& runner, DecoderSession session, Sampler sampler, TextOutput text,
             std::span<const TokenId> eos_ids, GenerationResult& result)
      : limit_(runner.length_limit()),
        session_(std::move(session)),
        sampler_(std::move(sampler)),
        text_(std::move(text)),
        eos_ids_(eos_ids),
        result_(result) {}

  Status Run(std::span<const TokenId> prompt, std::int64_t max_new_tokens,
             const TokenSink& on_token, const std::stop_token& stop) {
    Clock::time_point start = Clock::now();
    for (TokenId id : prompt) sampler_.Observe(id);
    auto logits = session_.Append(prompt, stop);
    result_.prefill_seconds = SecondsSince(start);
    start = Clock::now();
    for (;;) {
      if (!logits) {
        if (logits.error().code() != ErrorCode::kCancelled) {
          return std::unexpected(std::move(logits).error());
        }
        result_.finish_reason = FinishReason::kCancelled;
        break;
      }
      MDSA_ASSIGN(const bool more, Step(*logits, max_new_tokens, on_token));
      if (!more) break;
      logits = session_.Append({&result_.ids.back(), 1}, stop);
    }
    if (!text_.Finish()) result_.finish_reason = FinishReason::kCancelled;
    result_.decode_seconds = SecondsSince(start);
    return {};
  }

 private:
  // Takes one token; false when it was the last, with the reason set.
  Result<bool> Step(std::span<const float> logits, std::int64_t max_new_tokens,
                    const TokenSink& on_token) {
    MDSA_ASSIGN(const TokenId id, sampler_.Next(logits, std::ssize(result_.ids)));
    result_.ids.push_back(id);
    sampler_.Observe(id);
    if (on_token && !on_token(id)) return End(FinishReason::kCancelled);
    if (std::ranges::find(eos_ids_, id) != eos_ids_.end()) return End(FinishReason::kEndOfSequence);
    if (!text_.Push(id)) return End(FinishReason::kCancelled);
    if (text_.stopped()) return End(FinishReason::kStopString);
    if (std::ssize(result_.ids) >= max_new_tokens) return End(FinishReason::kMaxNewTokens);
    if (session_.length() + 1 >= limit_) return End(FinishReason::kContextFull);
    return true;
  }

  bool End(FinishReason reason) {
    result_.finish_reason = reason;
    return false;
  }

  std::int64_t limit_;
  DecoderSession session_;
  Sampler sampler_;
  TextOutput text_;
  std::span<const TokenId> eos_ids_;
  GenerationResult& result_;
};

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfSequence:
      return "eos";
    case FinishReason::kStopString:
      return "stop";
    case FinishReason::kMaxNewTokens:
      return "length";
    case FinishReason::kContextFull:
      return "context";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<GenerationResult> Model::Generate(std::span<const TokenId> prompt,
                                         const GenerationOptions& options, const TextSink& on_text,
                                         const TokenSink& on_token, std::stop_token stop) const {
  const Runner& runner = *runner_;
  MDSA_TRY(CheckPrompt(runner, prompt));
  MDSA_TRY(engine::CheckGenerationOptions(options, runner.config().vocab_size));
  if (!options.stop.empty() && tokenizer_ == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "stop texts need a tokenizer, and there is none");
  }
  MDSA_ASSIGN(StopMatcher stops, StopMatcher::Create(options.stop));
  const std::vector<TokenId>& eos_ids =
      options.eos_token_ids.empty() ? runner.config().eos_token_ids : options.eos_token_ids;

  GenerationResult result;
  result.prompt_tokens = std::ssize(prompt);
  const std::int64_t most =
      std::min(options.max_new_tokens, runner.length_limit() - result.prompt_tokens);
  result.ids.reserve(static_cast<std::size_t>(most));
  // The last token is never fed back, so prompt + most - 1 positions are enough; the cache grows
  // towards it as tokens come.
  MDSA_ASSIGN(DecoderSession session,
              DecoderSession::Create(runner, result.prompt_tokens + most, result.prompt_tokens));
  Generation generation(runner, std::move(session),
                        Sampler(options, eos_ids, runner.config().vocab_size,
                                options.seed ? *options.seed : RandomSeed()),
                        TextOutput(tokenizer_, std::move(stops), on_text, result.text), eos_ids,
                        result);
  MDSA_TRY(generation.Run(prompt, options.max_new_tokens, on_token, stop));
  return result;
}

Result<GenerationResult> Model::GenerateText(std::string_view prompt,
                                             const GenerationOptions& options,
                                             const TextSink& on_text, bool add_special_tokens,
                                             std::stop_token stop) const {
  if (tokenizer_ == nullptr) {
    return Err(ErrorCode::kFailedPrecondition,
               "the checkpoint has no tokenizer; add its tokenizer.json or pass token ids");
  }
  const Encoding encoding = tokenizer_->Encode(prompt, {add_special_tokens, 0});
  return Generate(encoding.ids, options, on_text, {}, std::move(stop));
}

Result<GenerationResult> Model::Chat(std::span<const ChatMessage> messages,
                                     const GenerationOptions& options, const TextSink& on_text,
                                     std::stop_token stop) const {
  if (tokenizer_ == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "the checkpoint has no tokenizer to chat with");
  }
  MDSA_ASSIGN(const std::string prompt, ApplyChatTemplate(*tokenizer_, messages));
  return GenerateText(prompt, options, on_text, /*add_special_tokens=*/false, std::move(stop));
}

}  // namespace mdsa
