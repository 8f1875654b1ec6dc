// Model::Generate and GenerateBatch: prefill, then one token a step and sequence until something
// ends each answer.
#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/decoder_batch.h"
#include "engine/runner.h"
#include "engine/sampler.h"
#include "engine/stop_strings.h"
#include "mdsa/model.h"

namespace mdsa {
namespace {

using engine::DecoderBatch;
using engine::Runner;
using engine::Sampler;
using engine::StopMatcher;
using Clock = std::chrono::steady_clock;

double SecondsBetween(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
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

  // A stop text is complete.
  bool stopped() const { return stops_.stopped(); }
  // False once the sink has asked to end.
  bool Push(TokenId id) { return !decoder_ || Emit(stops_.Push(decoder_->Push(id))); }
  void Finish() {
    if (!decoder_ || stopped()) return;
    Emit(stops_.Push(decoder_->Finish()));
    Emit(stops_.Finish());
  }

 private:
  // After the sink has asked to end, nothing more reaches it or the text.
  bool Emit(const std::string& piece) {
    if (sink_ended_ || piece.empty()) return !sink_ended_;
    text_ += piece;
    sink_ended_ = sink_ && !sink_(piece);
    return !sink_ended_;
  }

  std::optional<DecodeStream> decoder_;
  StopMatcher stops_;
  const TextSink& sink_;
  std::string& text_;
  bool sink_ended_ = false;
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

// What every sequence of a call has in common.
struct Rules {
  const GenerationOptions& options;
  std::vector<TokenId> eos_ids;
  // Special tokens never show in the text: a stop text that spells one is looked for among the ids.
  std::vector<TokenId> stop_ids;
  std::int64_t length_limit = 0;

  static Rules Of(const Runner& runner, const Tokenizer* tokenizer,
                  const GenerationOptions& options) {
    Rules rules{
        options,
        options.eos_token_ids.empty() ? runner.config().eos_token_ids : options.eos_token_ids,
        {},
        runner.length_limit()};
    for (const std::string& stop : options.stop) {
      const auto id = tokenizer->TokenToId(stop);
      if (id && tokenizer->IsSpecial(*id)) rules.stop_ids.push_back(*id);
    }
    return rules;
  }
};

// One sequence of a call. Never owns.
struct Request {
  std::span<const TokenId> prompt;
  const TextSink& on_text;
  TokenSink on_token;
};

std::int64_t MostNewTokens(const Runner& runner, const GenerationOptions& options,
                           const Request& request) {
  return std::min(options.max_new_tokens, runner.length_limit() - std::ssize(request.prompt));
}

std::uint64_t BytesOf(const Runner& runner, const GenerationOptions& options,
                      std::span<const Request> requests) {
  std::vector<engine::GenerationLength> lengths;
  lengths.reserve(requests.size());
  for (const Request& request : requests) {
    lengths.push_back({std::ssize(request.prompt), MostNewTokens(runner, options, request)});
  }
  return runner.call_memory().Generate(lengths, options);
}

// The answer to one prompt in progress.
class Answer {
 public:
  Answer(const Rules& rules, Sampler sampler, TextOutput text, const Request& request,
         GenerationResult& result)
      : rules_(rules),
        sampler_(std::move(sampler)),
        text_(std::move(text)),
        request_(request),
        result_(result) {
    for (TokenId id : request.prompt) sampler_.Observe(id);
  }

  // What the model has not seen yet.
  std::span<const TokenId> NextInput() const {
    return result_.ids.empty() ? request_.prompt : std::span(result_.ids).last(1);
  }

  // Takes one token; false when it was the last, with the reason set.
  Result<bool> Take(std::span<const float> logits) {
    const Clock::time_point now = Clock::now();
    if (result_.ids.empty()) {
      result_.prefill_seconds = SecondsBetween(start_, now);
      start_ = now;
    }
    MDSA_ASSIGN(const TokenId id, sampler_.Next(logits, std::ssize(result_.ids)));
    result_.ids.push_back(id);
    sampler_.Observe(id);
    if (request_.on_token && !request_.on_token(id)) return End(FinishReason::kCancelled);
    if (Contains(rules_.eos_ids, id)) return End(FinishReason::kEndOfSequence);
    if (Contains(rules_.stop_ids, id)) return End(FinishReason::kStopString);
    if (!text_.Push(id)) return End(FinishReason::kCancelled);
    if (text_.stopped()) return End(FinishReason::kStopString);
    const std::int64_t new_tokens = std::ssize(result_.ids);
    if (new_tokens >= rules_.options.max_new_tokens) return End(FinishReason::kMaxNewTokens);
    if (result_.prompt_tokens + new_tokens >= rules_.length_limit) {
      return End(FinishReason::kContextFull);
    }
    return true;
  }

  bool End(FinishReason reason) {
    result_.finish_reason = reason;
    if (!text_.stopped()) {
      text_.Finish();
      if (text_.stopped()) result_.finish_reason = FinishReason::kStopString;
    }
    if (!result_.ids.empty()) result_.decode_seconds = SecondsBetween(start_, Clock::now());
    return false;
  }

 private:
  static bool Contains(const std::vector<TokenId>& ids, TokenId id) {
    return std::ranges::find(ids, id) != ids.end();
  }

  const Rules& rules_;
  Sampler sampler_;
  TextOutput text_;
  const Request& request_;
  GenerationResult& result_;
  Clock::time_point start_ = Clock::now();  // of the prompt, then of the answer
};

// Longer answers grow their list of ids as they come.
constexpr std::int64_t kReservedIds = 4096;

// All answers of a call.
class Generation {
 public:
  Generation(const Runner& runner, std::shared_ptr<const Tokenizer> tokenizer, const Rules& rules,
             StopMatcher stops, std::span<const Request> requests)
      : runner_(runner),
        tokenizer_(std::move(tokenizer)),
        rules_(rules),
        stops_(std::move(stops)),
        requests_(requests),
        results_(requests.size()) {}

  Result<std::vector<GenerationResult>> Run(const std::stop_token& stop) {
    const std::int64_t places = std::min(std::ssize(requests_), engine::kMaxSequences);
    std::int64_t rows = 0;
    for (const Request& request : requests_) rows += std::ssize(request.prompt);
    MDSA_ASSIGN(DecoderBatch batch, DecoderBatch::Create(runner_, places, rows));
    answers_.resize(static_cast<std::size_t>(places));
    for (;;) {
      Admit(batch);
      steps_.clear();
      for (std::size_t i = 0; i < answers_.size(); ++i) {
        if (answers_[i]) steps_.push_back({i, answers_[i]->NextInput()});
      }
      if (steps_.empty()) return std::move(results_);
      const auto logits = batch.Append(steps_, stop);
      if (!logits) {
        if (logits.error().code() != ErrorCode::kCancelled) return std::unexpected(logits.error());
        return Cancel();
      }
      MDSA_TRY(TakeTokens(*logits, batch));
    }
  }

 private:
  // Gives free places to the requests that wait.
  void Admit(DecoderBatch& batch) {
    for (std::size_t i = 0; i < answers_.size() && next_ < requests_.size(); ++i) {
      if (answers_[i]) continue;
      const Request& request = requests_[next_];
      GenerationResult& result = results_[next_];
      result.prompt_tokens = std::ssize(request.prompt);
      const std::int64_t most = MostNewTokens(runner_, rules_.options, request);
      result.ids.reserve(static_cast<std::size_t>(std::min(most, kReservedIds)));
      const auto& seed = rules_.options.seed;
      answers_[i].emplace(rules_,
                          Sampler(rules_.options, rules_.eos_ids, runner_.config().vocab_size,
                                  seed ? *seed + next_ : RandomSeed()),
                          TextOutput(tokenizer_, stops_, request.on_text, result.text), request,
                          result);
      // The last token is never fed back.
      batch.Open(i, result.prompt_tokens + most - 1);
      ++next_;
    }
  }

  Status TakeTokens(std::span<const float> logits, DecoderBatch& batch) {
    const auto vocab = static_cast<std::size_t>(runner_.config().vocab_size);
    for (std::size_t step = 0; step < steps_.size(); ++step) {
      const std::size_t place = steps_[step].sequence;
      MDSA_ASSIGN(const bool more, answers_[place]->Take(logits.subspan(step * vocab, vocab)));
      if (more) continue;
      answers_[place].reset();
      batch.Close(place);
    }
    return {};
  }

  std::vector<GenerationResult> Cancel() {
    for (auto& answer : answers_) {
      if (answer) answer->End(FinishReason::kCancelled);
    }
    for (; next_ < results_.size(); ++next_) {
      results_[next_].prompt_tokens = std::ssize(requests_[next_].prompt);
      results_[next_].finish_reason = FinishReason::kCancelled;
    }
    return std::move(results_);
  }

  const Runner& runner_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  const Rules& rules_;
  StopMatcher stops_;
  std::span<const Request> requests_;
  std::vector<GenerationResult> results_;
  std::vector<std::optional<Answer>> answers_;  // of each place
  std::vector<DecoderBatch::Step> steps_;
  std::size_t next_ = 0;  // the first request without a place so far
};

Result<std::vector<GenerationResult>> GenerateAll(const Runner& runner,
                                                  const std::shared_ptr<const Tokenizer>& tokenizer,
                                                  std::span<const Request> requests,
                                                  const GenerationOptions& options,
                                                  const std::stop_token& stop) {
  MDSA_TRY(runner.CheckWeights());
  for (const Request& request : requests) MDSA_TRY(CheckPrompt(runner, request.prompt));
  MDSA_TRY(engine::CheckGenerationOptions(options, runner.config().vocab_size));
  if (!options.stop.empty() && tokenizer == nullptr) {
    return Err(ErrorCode::kFailedPrecondition, "stop texts need a tokenizer, and there is none");
  }
  MDSA_ASSIGN(StopMatcher stops, StopMatcher::Create(options.stop));
  using Results = Result<std::vector<GenerationResult>>;
  return CatchOutOfMemory(
      "generate; pass fewer prompts or a smaller max_new_tokens", [&]() -> Results {
        MDSA_ASSIGN(const MemoryCharge charge,
                    runner.Charge(BytesOf(runner, options, requests), stop));
        const Rules rules = Rules::Of(runner, tokenizer.get(), options);
        return Generation(runner, tokenizer, rules, std::move(stops), requests).Run(stop);
      });
}

// How much the generation takes is known once the prompt has been read. Reading a text of ordinary
// size takes next to nothing; a long one is paid for, and that is over before the generation pays.
Result<Encoding> ReadPrompt(const Runner& runner, const Tokenizer& tokenizer, std::string_view text,
                            const EncodeOptions& options, const std::stop_token& stop) {
  constexpr std::size_t kOrdinaryBytes = 32 * 1024;
  return CatchOutOfMemory("read the prompt; pass a shorter one", [&]() -> Result<Encoding> {
    MemoryCharge charge;
    if (text.size() > kOrdinaryBytes) {
      MDSA_ASSIGN(charge, runner.Charge(engine::TokenizingBytes(text.size()), stop));
    }
    return tokenizer.Encode(text, options);
  });
}

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
  const Request request{prompt, on_text, on_token};
  MDSA_ASSIGN(auto results, GenerateAll(*runner_, tokenizer_, {&request, 1}, options, stop));
  return std::move(results.front());
}

Result<std::vector<GenerationResult>> Model::GenerateBatch(
    std::span<const std::vector<TokenId>> prompts, const GenerationOptions& options,
    const BatchTokenSink& on_token, std::stop_token stop) const {
  const TextSink no_text;
  std::vector<Request> requests;
  requests.reserve(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    TokenSink sink;
    if (on_token) sink = [&on_token, i](TokenId id) { return on_token(i, id); };
    requests.push_back({prompts[i], no_text, std::move(sink)});
  }
  return GenerateAll(*runner_, tokenizer_, requests, options, stop);
}

Result<GenerationResult> Model::GenerateText(std::string_view prompt,
                                             const GenerationOptions& options,
                                             const TextSink& on_text, bool add_special_tokens,
                                             std::stop_token stop) const {
  if (tokenizer_ == nullptr) {
    return Err(ErrorCode::kFailedPrecondition,
               "the checkpoint has no tokenizer; add its tokenizer.json or pass token ids");
  }
  MDSA_ASSIGN(const Encoding encoding,
              ReadPrompt(*runner_, *tokenizer_, prompt, {add_special_tokens, 0}, stop));
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
