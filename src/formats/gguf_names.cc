#include "formats/gguf_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

namespace mdsa {
namespace {

struct NamePair {
  std::string_view gguf, hugging_face;
};

constexpr NamePair kLlamaTop[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
constexpr NamePair kLlamaBlock[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"}};

constexpr NamePair kPhiTop[] = {{"token_embd", "model.embed_tokens"},
                                {"output_norm", "model.final_layernorm"},
                                {"output", "lm_head"}};
constexpr NamePair kPhiBlock[] = {{"attn_norm", "input_layernorm"},
                                  {"attn_q", "self_attn.q_proj"},
                                  {"attn_k", "self_attn.k_proj"},
                                  {"attn_v", "self_attn.v_proj"},
                                  {"attn_output", "self_attn.dense"},
                                  {"ffn_up", "mlp.fc1"},
                                  {"ffn_down", "mlp.fc2"}};

constexpr NamePair kBertTop[] = {{"token_embd", "embeddings.word_embeddings"},
                                 {"position_embd", "embeddings.position_embeddings"},
                                 {"token_types", "embeddings.token_type_embeddings"},
                                 {"token_embd_norm", "embeddings.LayerNorm"}};
constexpr NamePair kBertBlock[] = {{"attn_q", "attention.self.query"},
                                   {"attn_k", "attention.self.key"},
                                   {"attn_v", "attention.self.value"},
                                   {"attn_output", "attention.output.dense"},
                                   {"attn_output_norm", "attention.output.LayerNorm"},
                                   {"ffn_up", "intermediate.dense"},
                                   {"ffn_down", "output.dense"},
                                   {"layer_output_norm", "output.LayerNorm"}};

struct FamilyNames {
  std::span<const NamePair> top, block;
  std::string_view block_prefix;
};

FamilyNames NamesOf(ModelFamily family) {
  switch (family) {
    case ModelFamily::kBert:
      return {kBertTop, kBertBlock, "encoder.layer"};
    case ModelFamily::kPhi:
      return {kPhiTop, kPhiBlock, "model.layers"};
    case ModelFamily::kLlama:
      break;
  }
  return {kLlamaTop, kLlamaBlock, "model.layers"};
}

std::optional<std::string_view> Translate(std::span<const NamePair> names, std::string_view gguf) {
  const auto found = std::ranges::find(names, gguf, &NamePair::gguf);
  if (found == names.end()) return std::nullopt;
  return found->hugging_face;
}

}  // namespace

std::optional<GgufBlockName> ParseGgufBlockName(std::string_view gguf_name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!gguf_name.starts_with(kPrefix)) return std::nullopt;
  gguf_name.remove_prefix(kPrefix.size());
  const std::size_t dot = gguf_name.find('.');
  const std::string_view layer = gguf_name.substr(0, dot);
  if (dot == std::string_view::npos || layer.empty() ||
      !std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  return GgufBlockName{layer, gguf_name.substr(dot + 1)};
}

std::optional<std::string> HuggingFaceName(ModelFamily family, std::string_view gguf_name) {
  const FamilyNames names = NamesOf(family);
  const std::size_t last_dot = gguf_name.rfind('.');
  if (last_dot == std::string_view::npos) return std::nullopt;
  const std::string_view suffix = gguf_name.substr(last_dot + 1);
  const std::string_view base = gguf_name.substr(0, last_dot);
  if (suffix != "weight" && suffix != "bias") return std::nullopt;

  if (!base.starts_with("blk.")) {
    const auto name = Translate(names.top, base);
    if (!name) return std::nullopt;
    return fmt::format("{}.{}", *name, suffix);
  }
  const auto block = ParseGgufBlockName(base);
  if (!block) return std::nullopt;
  const auto name = Translate(names.block, block->tensor);
  if (!name) return std::nullopt;
  return fmt::format("{}.{}.{}.{}", names.block_prefix, block->layer, *name, suffix);
}

}  // namespace mdsa
