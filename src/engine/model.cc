// Model: construction, facts, and the plain forward pass.
#include "mdsa/model.h"

#include <algorithm>
#include <utility>

#include "base/checked_math.h"
#include "base/error.h"
#include "engine/heads.h"
#include "engine/runner.h"

namespace mdsa {
namespace {

using engine::Pass;
using engine::Runner;
using engine::Workspace;

Status CheckInput(const Runner& runner, const ForwardInput& input) {
  if (input.batch < 1 || input.tokens < 1) {
    return Err(ErrorCode::kInvalidArgument, "input_ids has shape [{}, {}]; both must be at least 1",
               input.batch, input.tokens);
  }
  const auto count = CheckedMul(input.batch, input.tokens);
  const auto fits = [&](std::size_t size) { return count && std::cmp_equal(*count, size); };
  if (!fits(input.input_ids.size())) {
    return Err(ErrorCode::kInvalidArgument, "input_ids has {} values, not {} x {}",
               input.input_ids.size(), input.batch, input.tokens);
  }
  if (!input.attention_mask.empty() && !fits(input.attention_mask.size())) {
    return Err(ErrorCode::kInvalidArgument, "attention_mask has {} values, not {} x {}",
               input.attention_mask.size(), input.batch, input.tokens);
  }
  if (!input.token_type_ids.empty() && !fits(input.token_type_ids.size())) {
    return Err(ErrorCode::kInvalidArgument, "token_type_ids has {} values, not {} x {}",
               input.token_type_ids.size(), input.batch, input.tokens);
  }
  if (input.tokens > runner.context_length()) {
    return Err(ErrorCode::kResourceExhausted, "{} tokens exceed the model's context of {}",
               input.tokens, runner.context_length());
  }
  MDSA_TRY(Runner::CheckIds(input.input_ids, runner.config().vocab_size, "input_ids"));
  if (input.token_type_ids.empty()) return {};
  if (runner.config().family != ModelFamily::kBert) {
    return Err(ErrorCode::kInvalidArgument, "token_type_ids: a {} model has none",
               runner.description().family);
  }
  return Runner::CheckIds(input.token_type_ids, runner.config().type_vocab_size, "token_type_ids");
}

// Allocates the outputs that this model has.
Status PrepareOutput(const Runner& runner, const ForwardInput& input, ForwardOutput& output) {
  const ArchitectureConfig& config = runner.config();
  switch (config.head) {
    case ModelHead::kCausalLm: {
      MDSA_ASSIGN(output.logits,
                  engine::MakeTensor({input.batch, input.tokens, config.vocab_size}));
      return {};
    }
    case ModelHead::kSequenceClassification: {
      MDSA_ASSIGN(output.logits, engine::MakeTensor({input.batch, config.num_labels}));
      return {};
    }
    case ModelHead::kNone:
      break;
  }
  MDSA_ASSIGN(output.last_hidden_state,
              engine::MakeTensor({input.batch, input.tokens, config.hidden_size}));
  if (runner.heads().pooler) {
    MDSA_ASSIGN(output.pooler_output, engine::MakeTensor({input.batch, config.hidden_size}));
  }
  return {};
}

Result<ForwardOutput> RunForward(const Runner& runner, const ForwardInput& input,
                                 const std::stop_token& stop) {
  MDSA_TRY(runner.CheckWeights());
  MDSA_TRY(CheckInput(runner, input));
  MDSA_ASSIGN(const MemoryCharge charge,
              runner.Charge(runner.call_memory().Forward(input.batch, input.tokens), stop));
  ForwardOutput output;
  MDSA_TRY(PrepareOutput(runner, input, output));
  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(input.batch), input.tokens);
  const auto sink = [&](const Pass& pass, Workspace& workspace) -> Status {
    if (output.last_hidden_state) {
      const std::int64_t width = runner.config().hidden_size;
      engine::CopyToHost(runner.ops(), workspace.hidden, pass.rows * width,
                         output.last_hidden_state->values.data() + pass.first_row * width);
    }
    if (runner.heads().language_model) {
      return engine::LanguageLogits(
          runner, workspace, pass.rows,
          output.logits->values.data() + pass.first_row * runner.config().vocab_size);
    }
    return engine::PooledOutputs(runner, lengths, pass, workspace,
                                 output.pooler_output ? &*output.pooler_output : nullptr,
                                 output.logits ? &*output.logits : nullptr);
  };
  MDSA_TRY(runner.RunSequences(
      {input.input_ids, input.token_type_ids, input.attention_mask, lengths, 0}, sink, stop));
  return output;
}

}  // namespace

Model::Model(std::unique_ptr<const engine::Runner> runner,
             std::shared_ptr<const Tokenizer> tokenizer)
    : runner_(std::move(runner)), tokenizer_(std::move(tokenizer)) {}
Model::~Model() = default;

const ModelDescription& Model::description() const { return runner_->description(); }
const std::shared_ptr<const Tokenizer>& Model::tokenizer() const { return tokenizer_; }

std::size_t Model::memory_bytes() const {
  return sizeof(Model) + runner_->memory_bytes() +
         (tokenizer_ != nullptr ? tokenizer_->memory_bytes() : 0);
}

std::size_t Model::mapped_bytes() const { return runner_->mapped_bytes(); }

std::size_t Model::call_bytes() const {
  return runner_->call_memory().Ordinary(runner_->text_length_limit(), runner_->batch_size());
}

Result<ForwardOutput> Model::Forward(const ForwardInput& input, std::stop_token stop) const {
  return CatchOutOfMemory("run the forward pass; pass fewer or shorter sequences",
                          [&] { return RunForward(*runner_, input, stop); });
}

}  // namespace mdsa
