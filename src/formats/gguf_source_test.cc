#include "formats/gguf_source.h"

#include <gtest/gtest.h>

#include <string>

#include "formats/gguf_names.h"
#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;
using test::GgufBuilder;
using test::TinyLlamaGguf;

Result<std::shared_ptr<const GgufSource>> Open(const GgufBuilder& gguf) {
  const test::TemporaryFolder folder;
  auto file = MappedFile::Open(folder.Write("model.gguf", gguf.Build()));
  if (!file) return std::unexpected(file.error());
  return GgufSource::FromFile(*std::move(file));
}

GgufBuilder TinyPhi() {
  GgufBuilder gguf;
  gguf.String("general.architecture", "phi2")
      .U32("phi2.embedding_length", 8)
      .U32("phi2.feed_forward_length", 16)
      .U32("phi2.block_count", 1)
      .U32("phi2.context_length", 64)
      .U32("phi2.attention.head_count", 2)
      .U32("phi2.rope.dimension_count", 2)
      .F32("phi2.attention.layer_norm_epsilon", 1e-5f)
      .F32Tensor("token_embd.weight", {8, 4});
  return gguf;
}

TEST(GgufSourceTest, GivesHuggingFaceNamesAndRowOrders) {
  const auto source = Open(TinyLlamaGguf()
                               .F32Tensor("token_embd.weight", {8, 4})
                               .F32Tensor("blk.0.attn_q.weight", {8, 8})
                               .F32Tensor("blk.0.attn_k.weight", {8, 4})
                               .F32Tensor("blk.0.attn_v.weight", {8, 4})
                               .F32Tensor("other", {4}));
  ASSERT_TRUE(source) << source.error().ToString();
  const TensorInfo* q = (*source)->Find("model.layers.0.self_attn.q_proj.weight");
  const TensorInfo* k = (*source)->Find("model.layers.0.self_attn.k_proj.weight");
  const TensorInfo* v = (*source)->Find("model.layers.0.self_attn.v_proj.weight");
  ASSERT_TRUE(q != nullptr && k != nullptr && v != nullptr);
  EXPECT_EQ(q->row_order, RowOrder::kRopeInterleaved);
  EXPECT_EQ(q->heads, 2);
  EXPECT_EQ(k->row_order, RowOrder::kRopeInterleaved);
  EXPECT_EQ(k->heads, 1);
  EXPECT_EQ(v->row_order, RowOrder::kNatural);
  EXPECT_EQ(k->shape, (std::vector<std::int64_t>{4, 8}));
  EXPECT_NE((*source)->Find("model.embed_tokens.weight"), nullptr);
  EXPECT_NE((*source)->Find("other"), nullptr);
  EXPECT_EQ((*source)->Find("blk.0.attn_q.weight"), nullptr);
  EXPECT_EQ((*source)->tensors().size(), 5u);
  (*source)->ReleasePages(*q);
}

TEST(GgufSourceTest, SplitsFusedAttentionOfPhi) {
  const auto source = Open(
      TinyPhi().F32Tensor("blk.0.attn_qkv.weight", {8, 24}).F32Tensor("blk.0.attn_qkv.bias", {24}));
  ASSERT_TRUE(source) << source.error().ToString();
  const TensorInfo* q = (*source)->Find("model.layers.0.self_attn.q_proj.weight");
  const TensorInfo* v = (*source)->Find("model.layers.0.self_attn.v_proj.weight");
  const TensorInfo* bias = (*source)->Find("model.layers.0.self_attn.k_proj.bias");
  ASSERT_TRUE(q != nullptr && v != nullptr && bias != nullptr);
  EXPECT_EQ(v->shape, (std::vector<std::int64_t>{8, 8}));
  EXPECT_EQ(v->bytes.data() - q->bytes.data(), 16 * 8 * 4);
  EXPECT_EQ(q->row_order, RowOrder::kNatural);
  EXPECT_EQ(bias->bytes.size(), 32u);
}

// "attn_qkv" where the number of the layer belongs is no layer's.
TEST(GgufSourceTest, FusedNameWithoutALayerKeepsItsOwn) {
  const auto source = Open(TinyPhi().F32Tensor("blk.attn_qkv.weight", {8, 24}));
  ASSERT_TRUE(source) << source.error().ToString();
  EXPECT_NE((*source)->Find("blk.attn_qkv.weight"), nullptr);
  EXPECT_EQ((*source)->tensors().size(), 2u);
}

TEST(GgufSourceTest, RejectsFusedAttentionOfAnotherSize) {
  ExpectError(Open(TinyPhi().F32Tensor("blk.0.attn_qkv.weight", {8, 25})),
              ErrorCode::kInvalidFormat, {"model.gguf", "'blk.0.attn_qkv.weight'", "24 rows"});
}

TEST(GgufSourceTest, RejectsRowsThatDoNotFitTheHeads) {
  ExpectError(Open(TinyLlamaGguf()
                       .F32Tensor("token_embd.weight", {8, 4})
                       .F32Tensor("blk.0.attn_q.weight", {8, 6})),
              ErrorCode::kInvalidFormat, {"model.gguf", "'blk.0.attn_q.weight'", "2 heads"});
}

TEST(GgufSourceTest, RejectsTwoTensorsForOneName) {
  ExpectError(Open(TinyLlamaGguf()
                       .F32Tensor("token_embd.weight", {8, 4})
                       .F32Tensor("model.embed_tokens.weight", {8, 4})),
              ErrorCode::kInvalidFormat, {"two tensors stand for 'model.embed_tokens.weight'"});
}

TEST(GgufSourceTest, ErrorsNameTheFile) {
  ExpectError(Open(GgufBuilder()), ErrorCode::kInvalidFormat,
              {"model.gguf", "'general.architecture' is missing"});
}

TEST(GgufNamesTest, Llama) {
  const auto name = [](std::string_view gguf) {
    return HuggingFaceName(ModelFamily::kLlama, gguf);
  };
  EXPECT_EQ(name("output_norm.weight"), "model.norm.weight");
  EXPECT_EQ(name("output.weight"), "lm_head.weight");
  EXPECT_EQ(name("blk.12.ffn_gate.weight"), "model.layers.12.mlp.gate_proj.weight");
  EXPECT_EQ(name("blk.0.ffn_norm.weight"), "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(name("blk.0.attn_output.bias"), "model.layers.0.self_attn.o_proj.bias");
}

TEST(GgufNamesTest, PhiAndBert) {
  EXPECT_EQ(HuggingFaceName(ModelFamily::kPhi, "output_norm.bias"), "model.final_layernorm.bias");
  EXPECT_EQ(HuggingFaceName(ModelFamily::kPhi, "blk.3.attn_output.weight"),
            "model.layers.3.self_attn.dense.weight");
  EXPECT_EQ(HuggingFaceName(ModelFamily::kPhi, "blk.3.ffn_up.weight"),
            "model.layers.3.mlp.fc1.weight");
  EXPECT_EQ(HuggingFaceName(ModelFamily::kBert, "token_embd_norm.bias"),
            "embeddings.LayerNorm.bias");
  EXPECT_EQ(HuggingFaceName(ModelFamily::kBert, "blk.5.attn_output_norm.weight"),
            "encoder.layer.5.attention.output.LayerNorm.weight");
  EXPECT_EQ(HuggingFaceName(ModelFamily::kBert, "blk.5.layer_output_norm.weight"),
            "encoder.layer.5.output.LayerNorm.weight");
}

TEST(GgufNamesTest, UnknownNamesHaveNoTranslation) {
  for (std::string_view name :
       {"", "token_embd", "token_embd.scale", "blk.0", "blk..attn_q.weight", "blk.x.attn_q.weight",
        "blk.0.nothing.weight", "rope_freqs.weight", "blk.0.weight", "blk.-1.attn_q.weight"}) {
    EXPECT_EQ(HuggingFaceName(ModelFamily::kLlama, name), std::nullopt) << name;
  }
}

TEST(GgufSourceTest, FileTruncatedBySomebodyElseIsNamed) {
  const test::TemporaryFolder folder;
  const auto path = folder.Write("model.gguf", TinyPhi().Build());
  auto file = MappedFile::Open(path);
  ASSERT_TRUE(file) << file.error().ToString();
  const auto source = GgufSource::FromFile(*std::move(file));
  ASSERT_TRUE(source) << source.error().ToString();
  EXPECT_TRUE((*source)->CheckUnchanged());
  std::filesystem::resize_file(path, 40);
  ExpectError((*source)->CheckUnchanged(), ErrorCode::kFailedPrecondition, {"model.gguf"});
}

}  // namespace
}  // namespace mdsa
