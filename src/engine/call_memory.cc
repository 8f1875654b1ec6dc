#include "engine/call_memory.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/byte_count.h"
#include "base/heap_bytes.h"
#include "base/page_buffer.h"
#include "engine/kv_cache.h"
#include "engine/rope.h"
#include "engine/sampler.h"
#include "engine/workspace.h"

namespace mdsa::engine {
namespace {

// Of one token of a prompt that was read from a text: its encoding.
constexpr std::uint64_t kPromptTokenBytes = 16;
// Of one new token: its id and its text, each in an array that grows by doubling.
constexpr std::uint64_t kNewTokenBytes = 32;
// Of one sequence or text, whatever its length: its encoding, its place, its stop texts, its parts
// of lists.
constexpr std::uint64_t kSequenceBytes = 512;
// Of one token of a text: its encoding, and its id and type in the batch that is made of all.
constexpr std::uint64_t kTextTokenBytes = 9 + 8;

std::uint64_t Pages(std::initializer_list<std::uint64_t> factors) {
  return PageBuffer::Footprint(ByteProduct(factors));
}

std::int64_t SaturatingTokens(std::int64_t a, std::int64_t b) {
  return CheckedMul(a, b).value_or(std::numeric_limits<std::int64_t>::max());
}

}  // namespace

std::int64_t PassRows(const ArchitectureConfig& config, std::int64_t longest) {
  return config.family == ModelFamily::kBert ? std::max(longest, kMaxPassRows) : kMaxPassRows;
}

std::int64_t CallLength(const ArchitectureConfig& config,
                        const std::optional<PoolingConfig>& pooling, std::int64_t max_length) {
  std::int64_t length = ContextLength(config);
  if (max_length > 0) length = std::min(length, max_length);
  if (pooling && pooling->max_seq_length > 0) length = std::min(length, pooling->max_seq_length);
  return length;
}

std::uint64_t TokenizingBytes(std::uint64_t text_bytes) {
  // The pieces of the text, 32 bytes each, in lists that grow by doubling, their ids, and copies of
  // the text. Measured by VmHWM with 1 MB of digits, each of which is a piece: 68 for SmolLM2's
  // GGUF (8 for English); a list that has just doubled takes half more.
  constexpr std::uint64_t kPerByte = 100;
  return ByteProduct({text_bytes, kPerByte});
}

std::uint64_t CallMemory::FloatsOnHeap(std::int64_t rows, std::int64_t width) const {
  return HeapBlockBytes(ByteProduct({ToBytes(rows), ToBytes(width), sizeof(float)}));
}

std::uint64_t CallMemory::WorkspaceOf(std::int64_t max_rows) const {
  return Workspace::Bytes(config_, max_rows, scratch_bytes_(max_rows));
}

std::uint64_t CallMemory::Passes(std::int64_t tokens, std::int64_t longest) const {
  const std::int64_t most = PassRows(config_, longest);
  const auto cache = [&](std::int64_t layers, std::int64_t length) {
    return KvCache::PeakOf(layers, config_.num_kv_heads, config_.head_dim, length, length).held;
  };
  // One sequence at a time is longer than a pass.
  const std::uint64_t chunked = longest > most ? cache(config_.num_layers, longest) : 0;
  return ByteSum({WorkspaceOf(std::min(most, tokens)), cache(1, std::min(longest, most)), chunked});
}

std::uint64_t CallMemory::Forward(std::int64_t batch, std::int64_t tokens) const {
  const std::int64_t all = SaturatingTokens(batch, tokens);
  std::uint64_t results = 0;
  std::uint64_t head = 0;
  switch (config_.head) {
    case ModelHead::kCausalLm:
      results = FloatsOnHeap(all, config_.vocab_size);
      head = Pages({ToBytes(std::min(all, kLogitRows)), ToBytes(config_.vocab_size), 4});
      break;
    case ModelHead::kSequenceClassification:
      results = FloatsOnHeap(batch, config_.num_labels);
      head = Pages({ToBytes(batch), ToBytes(config_.num_labels), 4});
      break;
    case ModelHead::kNone:
      results = ByteSum(
          {FloatsOnHeap(all, config_.hidden_size), FloatsOnHeap(batch, config_.hidden_size)});
      break;
  }
  return ByteSum(
      {results, head, ByteProduct({ToBytes(batch), kSequenceBytes}), Passes(all, tokens)});
}

std::uint64_t CallMemory::Texts(const TextAmount& amount) const {
  const bool classifies = config_.head == ModelHead::kSequenceClassification;
  const std::uint64_t results =
      classifies ? ByteSum({ByteProduct({2, FloatsOnHeap(amount.texts, config_.num_labels)}),
                            Pages({ToBytes(amount.texts), ToBytes(config_.num_labels), 4})})
                 : FloatsOnHeap(amount.texts, config_.hidden_size);
  // The passes begin when all texts have been read.
  return ByteSum({results, ByteProduct({ToBytes(amount.texts), kSequenceBytes}),
                  ByteProduct({ToBytes(amount.tokens), kTextTokenBytes}),
                  std::max(TokenizingBytes(ToBytes(amount.longest_bytes)),
                           Passes(amount.tokens, amount.longest))});
}

std::uint64_t CallMemory::Generate(std::span<const GenerationLength> sequences,
                                   const GenerationOptions& options) const {
  std::int64_t rows = 0;
  std::uint64_t host = 0;
  std::uint64_t growing = 0;
  std::vector<std::uint64_t> caches;
  caches.reserve(sequences.size());
  for (const GenerationLength& sequence : sequences) {
    rows += sequence.prompt;
    // The last token is never fed back.
    const KvCache::Peak peak = KvCache::PeakOf(
        config_.num_layers, config_.num_kv_heads, config_.head_dim, sequence.prompt,
        CheckedAdd(sequence.prompt, sequence.most_new - 1).value_or(sequence.prompt));
    caches.push_back(peak.held);
    growing = std::max(growing, peak.growing);  // one cache at a time does
    host =
        ByteSum({host, kSequenceBytes, ByteProduct({ToBytes(sequence.prompt), kPromptTokenBytes}),
                 ByteProduct({ToBytes(sequence.most_new), kNewTokenBytes})});
  }
  // Which sequences meet is not known before: the longest may.
  std::ranges::sort(caches, std::greater());
  const std::size_t places = std::min<std::size_t>(caches.size(), kMaxSequences);
  std::uint64_t held = 0;
  for (const std::uint64_t bytes : std::span(caches).first(places)) held = ByteSum({held, bytes});
  return ByteSum({WorkspaceOf(std::min(rows, kMaxPassRows)), held, growing, host,
                  Pages({places, ToBytes(config_.vocab_size), 4}),
                  ByteProduct({places, Sampler::Bytes(options, config_.vocab_size)})});
}

std::uint64_t CallMemory::Ordinary(std::int64_t length, std::int64_t batch_size) const {
  if (config_.head == ModelHead::kCausalLm) {
    const std::int64_t prompt = std::max<std::int64_t>(1, std::min(kMaxPassRows, length - 1));
    const GenerationLength sequence = {prompt, std::max<std::int64_t>(1, length - prompt)};
    GenerationOptions options;
    options.do_sample = true;
    return Generate({&sequence, 1}, options);
  }
  if (config_.family != ModelFamily::kBert) return Forward(1, length);
  return Texts({batch_size, SaturatingTokens(batch_size, length), length, 0});
}

}  // namespace mdsa::engine
