// Model::Embed and Model::Classify: texts in, one vector or one distribution a text out.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/heads.h"
#include "engine/runner.h"
#include "kernels/ops.h"
#include "mdsa/model.h"

namespace mdsa {
namespace {

using engine::Pass;
using engine::Runner;
using engine::Workspace;

// Texts as token ids, sorted by length so that the texts of one pass share its rows evenly.
struct TextBatch {
  std::vector<TokenId> ids, type_ids;
  std::vector<std::int64_t> lengths;
  std::vector<std::int64_t> order;  // the caller's index of each sequence
};

TextBatch Tokenize(const Tokenizer& tokenizer, std::span<const std::string> texts,
                   std::int64_t max_length) {
  EncodeOptions options;
  options.max_length = max_length;
  std::vector<Encoding> encodings;
  encodings.reserve(texts.size());
  for (const std::string& text : texts) encodings.push_back(tokenizer.Encode(text, options));

  TextBatch batch;
  for (std::int64_t i = 0; i < std::ssize(texts); ++i) {
    // An empty encoding has no hidden states: its result stays zero.
    if (!encodings[static_cast<std::size_t>(i)].ids.empty()) batch.order.push_back(i);
  }
  const auto length_of = [&](std::int64_t i) {
    return encodings[static_cast<std::size_t>(i)].ids.size();
  };
  std::ranges::stable_sort(batch.order, {}, length_of);
  std::size_t tokens = 0;
  for (const Encoding& encoding : encodings) tokens += encoding.ids.size();
  batch.ids.reserve(tokens);
  batch.type_ids.reserve(tokens);
  for (std::int64_t i : batch.order) {
    const Encoding& encoding = encodings[static_cast<std::size_t>(i)];
    batch.ids.insert(batch.ids.end(), encoding.ids.begin(), encoding.ids.end());
    batch.type_ids.insert(batch.type_ids.end(), encoding.type_ids.begin(), encoding.type_ids.end());
    batch.lengths.push_back(std::ssize(encoding.ids));
  }
  return batch;
}

Status CheckTokens(const Runner& runner, const TextBatch& batch) {
  const auto check = [](Status status) -> Status {
    if (status) return status;
    return std::unexpected(
        std::move(status).error().AddContext("the tokenizer does not belong to this model"));
  };
  MDSA_TRY(check(Runner::CheckIds(batch.ids, runner.config().vocab_size, "token")));
  return check(Runner::CheckIds(batch.type_ids, runner.config().type_vocab_size, "token type"));
}

// A bound, since the texts have not been read yet: a token has a byte at least, beside the special
// ones of each text.
engine::TextAmount AmountOf(const Runner& runner, std::span<const std::string> texts) {
  constexpr std::int64_t kSpecialTokens = 8;
  engine::TextAmount amount;
  amount.texts = std::ssize(texts);
  for (const std::string& text : texts) {
    const std::int64_t tokens =
        std::min(std::ssize(text) + kSpecialTokens, runner.text_length_limit());
    amount.tokens += tokens;
    amount.longest = std::max(amount.longest, tokens);
    amount.longest_bytes = std::max(amount.longest_bytes, std::ssize(text));
  }
  return amount;
}

Result<MemoryCharge> ChargeTexts(const Runner& runner, std::span<const std::string> texts,
                                 const std::stop_token& stop) {
  return runner.Charge(runner.call_memory().Texts(AmountOf(runner, texts)), stop);
}

// One vector of the token vectors [tokens, dim].
void Pool(PoolingMode mode, const float* tokens, std::int64_t count, std::int64_t dim, float* out) {
  switch (mode) {
    case PoolingMode::kCls:
      std::copy_n(tokens, dim, out);
      return;
    case PoolingMode::kLastToken:
      std::copy_n(tokens + (count - 1) * dim, dim, out);
      return;
    case PoolingMode::kMax:
      std::copy_n(tokens, dim, out);
      for (std::int64_t i = dim; i < count * dim; ++i) {
        out[i % dim] = std::max(out[i % dim], tokens[i]);
      }
      return;
    case PoolingMode::kMean:
      std::fill_n(out, dim, 0.0f);
      for (std::int64_t t = 0; t < count; ++t) {
        for (std::int64_t i = 0; i < dim; ++i) out[i] += tokens[t * dim + i];
      }
      for (std::int64_t i = 0; i < dim; ++i) out[i] /= static_cast<float>(count);
      return;
  }
}

// Length 1; the floor is that of torch.nn.functional.normalize.
void Normalize(float* vector, std::int64_t dim) {
  const float norm = std::max(kernels::L2Norm(vector, dim), 1e-12f);
  for (std::int64_t i = 0; i < dim; ++i) vector[i] /= norm;
}

Status CheckTexts(const std::shared_ptr<const Tokenizer>& tokenizer) {
  if (tokenizer != nullptr) return {};
  return Err(ErrorCode::kFailedPrecondition,
             "the checkpoint has no tokenizer; add its tokenizer.json or vocab.txt");
}

Result<Tensor> EmbedTexts(const Runner& runner, const std::shared_ptr<const Tokenizer>& tokenizer,
                          std::span<const std::string> texts, const std::stop_token& stop) {
  if (runner.config().family != ModelFamily::kBert) {
    return Err(ErrorCode::kUnsupported,
               "a {} model is decoder-only and gives no text embeddings; load an encoder",
               runner.description().family);
  }
  MDSA_TRY(CheckTexts(tokenizer));
  MDSA_TRY(runner.CheckWeights());
  MDSA_ASSIGN(const MemoryCharge charge, ChargeTexts(runner, texts, stop));
  const std::int64_t dim = runner.config().hidden_size;
  MDSA_ASSIGN(Tensor result, engine::MakeTensor({std::ssize(texts), dim}));
  const PoolingConfig pooling = runner.pooling().value_or(PoolingConfig());
  const TextBatch batch = Tokenize(*tokenizer, texts, runner.text_length_limit());
  MDSA_TRY(CheckTokens(runner, batch));
  std::vector<float> staging;
  const auto pool = [&](const Pass& pass, Workspace& workspace) -> Status {
    const float* row = runner.ops().ToHost(workspace.hidden, pass.rows * dim, staging).data();
    for (std::int64_t i = 0; i < pass.sequences; ++i) {
      const auto sequence = static_cast<std::size_t>(pass.first_sequence + i);
      float* out = result.values.data() + batch.order[sequence] * dim;
      Pool(pooling.mode, row, batch.lengths[sequence], dim, out);
      if (pooling.normalize) Normalize(out, dim);
      row += batch.lengths[sequence] * dim;
    }
    return {};
  };
  MDSA_TRY(runner.RunSequences({batch.ids, batch.type_ids, {}, batch.lengths, runner.batch_size()},
                               pool, stop));
  return result;
}

Result<Tensor> ClassifyTexts(const Runner& runner,
                             const std::shared_ptr<const Tokenizer>& tokenizer,
                             std::span<const std::string> texts, const std::stop_token& stop) {
  if (!runner.heads().classifier) {
    return Err(ErrorCode::kUnsupported, "{} is no sequence classifier",
               runner.description().architecture);
  }
  MDSA_TRY(CheckTexts(tokenizer));
  MDSA_TRY(runner.CheckWeights());
  MDSA_ASSIGN(const MemoryCharge charge, ChargeTexts(runner, texts, stop));
  const std::int64_t labels = runner.config().num_labels;
  MDSA_ASSIGN(Tensor result, engine::MakeTensor({std::ssize(texts), labels}));
  const TextBatch batch = Tokenize(*tokenizer, texts, runner.text_length_limit());
  MDSA_TRY(CheckTokens(runner, batch));
  MDSA_ASSIGN(Tensor scores, engine::MakeTensor({std::ssize(batch.lengths), labels}));
  const auto classify = [&](const Pass& pass, Workspace& workspace) -> Status {
    return engine::PooledOutputs(runner, batch.lengths, pass, workspace, nullptr, &scores);
  };
  MDSA_TRY(runner.RunSequences({batch.ids, batch.type_ids, {}, batch.lengths, runner.batch_size()},
                               classify, stop));
  for (std::size_t i = 0; i < batch.order.size(); ++i) {
    float* out = result.values.data() + batch.order[i] * labels;
    std::copy_n(scores.values.data() + static_cast<std::int64_t>(i) * labels, labels, out);
    // A single label is a yes-or-no score: a softmax over it would always be 1.
    if (runner.config().classifier_multi_label || labels == 1) {
      for (std::int64_t j = 0; j < labels; ++j) out[j] = 1.0f / (1.0f + std::exp(-out[j]));
    } else {
      kernels::Softmax(out, labels);
    }
  }
  return result;
}

}  // namespace

Result<Tensor> Model::Embed(std::span<const std::string> texts, std::stop_token stop) const {
  return CatchOutOfMemory("embed the texts; pass fewer of them",
                          [&] { return EmbedTexts(*runner_, tokenizer_, texts, stop); });
}

Result<Tensor> Model::Classify(std::span<const std::string> texts, std::stop_token stop) const {
  return CatchOutOfMemory("classify the texts; pass fewer of them",
                          [&] { return ClassifyTexts(*runner_, tokenizer_, texts, stop); });
}

}  // namespace mdsa
