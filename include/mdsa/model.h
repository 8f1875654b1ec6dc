// A loaded model: weights ready to compute with, and the tokenizer that belongs to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/result.h"
#include "mdsa/tokenizer.h"

namespace mdsa {

// Facts about a loaded model.
struct ModelDescription {
  std::string family;        // "bert", "llama", "phi"
  std::string architecture;  // as the checkpoint says, e.g. "LlamaForCausalLM"
  std::int64_t parameters = 0;
  std::int64_t hidden_size = 0;
  std::int64_t vocab_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t context_length = 0;  // most tokens of prompt and answer together
  std::string quantization;         // as QuantizationTypeName
  std::vector<std::string> labels;  // of a sequence classifier, else empty
  std::size_t weight_bytes = 0;     // packed weights held in memory or mapped
  bool can_generate = false;
};

// A dense fp32 array, row-major.
struct Tensor {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

// Rows are padded to the same length; attention_mask tells padding (0) from text (1).
struct ForwardInput {
  std::int64_t batch = 0;
  std::int64_t tokens = 0;
  std::span<const TokenId> input_ids;                 // [batch, tokens]
  std::span<const std::uint8_t> attention_mask = {};  // [batch, tokens]; empty: all ones
  std::span<const TokenId> token_type_ids = {};       // [batch, tokens]; empty: zeros; BERT only
};

struct ForwardOutput {
  std::optional<Tensor> last_hidden_state;  // [batch, tokens, hidden] of a bare encoder or decoder
  std::optional<Tensor> pooler_output;      // [batch, hidden] of a BERT with a pooler
  std::optional<Tensor> logits;             // [batch, tokens, vocab] or [batch, labels]
};

struct GenerationOptions {
  std::int64_t max_new_tokens = 256;
  std::int64_t min_new_tokens = 0;     // end-of-sequence tokens are suppressed before
  bool do_sample = false;              // false: greedy
  double temperature = 1.0;            // > 0 when sampling
  std::int64_t top_k = 50;             // 0: off
  double top_p = 1.0;                  // (0, 1]
  double min_p = 0.0;                  // [0, 1): drop tokens below min_p * the best probability
  double repetition_penalty = 1.0;     // > 0; 1: off
  std::optional<std::uint64_t> seed;   // same seed, model and options: same tokens
  std::vector<std::string> stop;       // the answer ends before the first of these texts
  std::vector<TokenId> eos_token_ids;  // empty: the model's own
};

enum class FinishReason : std::uint8_t {
  kEndOfSequence,
  kStopString,
  kMaxNewTokens,
  kContextFull,
  kCancelled
};
std::string_view FinishReasonName(
    FinishReason reason);  // "eos", "stop", "length", "context", "cancelled"

// Called on the generating thread with each piece of text as soon as it is final (never inside a
// character, never a part of a stop string). Returning false ends the generation as cancelled.
using TextSink = std::function<bool(std::string_view piece)>;
// Called with each new token id, before its text.
using TokenSink = std::function<bool(TokenId id)>;
// The same for several prompts; false ends the answer to prompt `index` alone.
using BatchTokenSink = std::function<bool(std::size_t index, TokenId id)>;

struct GenerationResult {
  std::vector<TokenId> ids;  // new tokens, the prompt not included
  std::string text;          // of the new tokens, up to a stop string
  FinishReason finish_reason = FinishReason::kMaxNewTokens;
  std::int64_t prompt_tokens = 0;
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
};

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Formats a conversation with one of the built-in forms (ChatML, Llama 2, Llama 3), recognized from
// the model's own template. kUnsupported if the template is of no known form, kFailedPrecondition
// if the model has none.
Result<std::string> ApplyChatTemplate(const Tokenizer& tokenizer,
                                      std::span<const ChatMessage> messages,
                                      bool add_generation_prompt = true);

namespace engine {
class Runner;
}  // namespace engine

// Immutable weights. Thread-safe: calls run concurrently, each with its own cache and scratch
// memory. A model of a manager asks that manager for this memory once a call, before it takes it,
// and fails as the manager says: kResourceExhausted, kDeadlineExceeded, or kCancelled by the call's
// stop token.
class Model {
 public:
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const ModelDescription& description() const;
  // nullptr if the checkpoint has none.
  const std::shared_ptr<const Tokenizer>& tokenizer() const;

  // One forward pass. Errors: a token id outside the vocabulary, more tokens than the context,
  // wrong sizes. The stop token is looked at before every pass over the weights, here and in Embed
  // and Classify; once it is requested, the call is kCancelled.
  Result<ForwardOutput> Forward(const ForwardInput& input, std::stop_token stop = {}) const;

  // One vector a text, [texts, dim]: pooled as the checkpoint's sentence-transformers folder
  // declares (else the mean over the text's tokens), and normalized to length 1 if it says so. A
  // decoder-only model is refused.
  Result<Tensor> Embed(std::span<const std::string> texts, std::stop_token stop = {}) const;

  // Probabilities over the labels for each text, [texts, labels]; sequence classifiers only.
  Result<Tensor> Classify(std::span<const std::string> texts, std::stop_token stop = {}) const;

  // Continues `prompt` (not empty). The stop token is looked at before every token; a cancelled
  // generation is a result, not an error. A stop text that spells a special token ends the answer
  // at that token, which never shows in the text.
  Result<GenerationResult> Generate(std::span<const TokenId> prompt,
                                    const GenerationOptions& options, const TextSink& on_text = {},
                                    const TokenSink& on_token = {},
                                    std::stop_token stop = {}) const;
  // Several prompts (each not empty) with the same options, decoded together: one pass over the
  // weights serves all of them. Results are in the order of the prompts, and each equals that of
  // Generate with seed + index, up to rounding. An error of one prompt is the call's.
  Result<std::vector<GenerationResult>> GenerateBatch(std::span<const std::vector<TokenId>> prompts,
                                                      const GenerationOptions& options,
                                                      const BatchTokenSink& on_token = {},
                                                      std::stop_token stop = {}) const;
  // As Generate, from text. `add_special_tokens` is false for text that a chat template made.
  Result<GenerationResult> GenerateText(std::string_view prompt, const GenerationOptions& options,
                                        const TextSink& on_text = {},
                                        bool add_special_tokens = true,
                                        std::stop_token stop = {}) const;
  Result<GenerationResult> Chat(std::span<const ChatMessage> messages,
                                const GenerationOptions& options, const TextSink& on_text = {},
                                std::stop_token stop = {}) const;

  // Bytes of weights, tokenizer and tables that this object keeps resident.
  std::size_t memory_bytes() const;
  // The part of memory_bytes() that is a map of the checkpoint file: resident once it is used, and
  // the system can drop it and read it again.
  std::size_t mapped_bytes() const;
  // What one call of ordinary size takes beside that at its peak. A decoder: one sampled answer
  // that fills context_length of the description together with its prompt. An encoder: a batch of
  // batch_size texts of the greatest length.
  std::size_t call_bytes() const;

  // For the loader. `runner` computes; `tokenizer` may be null.
  Model(std::unique_ptr<const engine::Runner> runner, std::shared_ptr<const Tokenizer> tokenizer);

 private:
  std::unique_ptr<const engine::Runner> runner_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace mdsa
