#include "models/checkpoint.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;
using test::Safetensors;
using test::TinyLlamaGguf;

constexpr std::string_view kBertConfig =
    R"({"model_type":"bert","hidden_size":8,"num_attention_heads":2})";

std::string OneTensor(std::string_view name) {
  return Safetensors(
      "{\"" + std::string(name) + R"(":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
}

class CheckpointTest : public testing::Test {
 protected:
  Result<Checkpoint> Open() { return Checkpoint::Open(folder_.path()); }
  test::TemporaryFolder folder_;
};

TEST_F(CheckpointTest, OpensOneSafetensorsFile) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", OneTensor("embeddings.LayerNorm.weight"));
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  EXPECT_EQ(checkpoint->format(), "safetensors");
  EXPECT_EQ(checkpoint->path(), folder_.path());
  EXPECT_EQ(checkpoint->config().hidden_size, 8);
  EXPECT_EQ(checkpoint->source_bytes(), 8u);
  EXPECT_NE(checkpoint->tensors()->Find("embeddings.LayerNorm.weight"), nullptr);
  EXPECT_FALSE(checkpoint->pooling());
}

TEST_F(CheckpointTest, OpensShards) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors.index.json",
                R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  folder_.Write("1.safetensors", OneTensor("a"));
  folder_.Write("2.safetensors", OneTensor("b"));
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  EXPECT_EQ(checkpoint->source_bytes(), 16u);
  EXPECT_NE(checkpoint->tensors()->Find("b"), nullptr);
}

TEST_F(CheckpointTest, MissingShardIsNamed) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors.index.json",
                R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  folder_.Write("1.safetensors", OneTensor("a"));
  ExpectError(Open(), ErrorCode::kNotFound,
              {"model.safetensors.index.json", "shard 2.safetensors", "cannot open"});
}

TEST_F(CheckpointTest, OpensGgufFileAndFolderWithOne) {
  const auto file =
      folder_.Write("m.gguf", TinyLlamaGguf().F32Tensor("token_embd.weight", {8, 4}).Build());
  for (const auto& path : {file, folder_.path()}) {
    const auto checkpoint = Checkpoint::Open(path);
    ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
    EXPECT_EQ(checkpoint->format(), "gguf");
    EXPECT_EQ(checkpoint->config().vocab_size, 4);
    EXPECT_EQ(checkpoint->source_bytes(), 128u);
    EXPECT_NE(checkpoint->tensors()->Find("model.embed_tokens.weight"), nullptr);
  }
}

TEST_F(CheckpointTest, SeveralGgufFilesAreAmbiguous) {
  folder_.Write("a.gguf", "x");
  folder_.Write("b.gguf", "x");
  ExpectError(Open(), ErrorCode::kInvalidArgument, {"2 .gguf files", "a.gguf"});
}

TEST_F(CheckpointTest, MissingConfigIsNamed) {
  folder_.Write("model.safetensors", OneTensor("a"));
  ExpectError(Open(), ErrorCode::kNotFound, {"config.json"});
}

TEST_F(CheckpointTest, WrongConfigNamesFileAndKey) {
  folder_.Write("config.json", R"({"model_type":"bert","hidden_size":"big"})");
  folder_.Write("model.safetensors", OneTensor("a"));
  ExpectError(Open(), ErrorCode::kInvalidFormat,
              {"config.json", "key 'hidden_size'", "expected an integer, found a string"});
}

TEST_F(CheckpointTest, DamagedWeightsNameTheFile) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", "short");
  ExpectError(Open(), ErrorCode::kInvalidFormat, {"model.safetensors", "5 bytes"});
  folder_.Write("bad.gguf", "GGUF");
  ExpectError(Checkpoint::Open(folder_.path() / "bad.gguf"), ErrorCode::kInvalidFormat,
              {"bad.gguf", "version"});
}

TEST_F(CheckpointTest, PyTorchWeightsAreUnsupportedWithAdvice) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("pytorch_model.bin", "PK");
  ExpectError(Open(), ErrorCode::kUnsupported,
              {"pytorch_model.bin", "convert them to safetensors"});
}

TEST_F(CheckpointTest, FolderWithoutWeights) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("training_args.bin", "x");
  ExpectError(Open(), ErrorCode::kNotFound, {"has no weights", "model.safetensors"});
}

TEST_F(CheckpointTest, PathsThatAreNoCheckpoint) {
  ExpectError(Checkpoint::Open(folder_.path() / "nowhere"), ErrorCode::kNotFound,
              {"nowhere", "does not exist"});
  ExpectError(Checkpoint::Open(folder_.Write("model.onnx", "x")), ErrorCode::kUnsupported,
              {"model.onnx", "neither a folder nor a .gguf file"});
}

TEST_F(CheckpointTest, ReadsPoolingOfSentenceTransformers) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", OneTensor("a"));
  folder_.Write("modules.json",
                R"([{"type":"sentence_transformers.models.Transformer","path":""},)"
                R"({"type":"sentence_transformers.models.Pooling","path":"1_Pooling"}])");
  ExpectError(Open(), ErrorCode::kNotFound, {"1_Pooling/config.json"});
  folder_.Write("1_Pooling/config.json", R"({"pooling_mode_cls_token":true})");
  folder_.Write("sentence_bert_config.json", R"({"max_seq_length":7})");
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  ASSERT_TRUE(checkpoint->pooling());
  EXPECT_EQ(checkpoint->pooling()->mode, PoolingMode::kCls);
  EXPECT_EQ(checkpoint->pooling()->max_seq_length, 7);
}

TEST_F(CheckpointTest, LoadsTheTokenizerOfAFolder) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", OneTensor("a"));
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  ExpectError(checkpoint->LoadTokenizer(), ErrorCode::kNotFound,
              {folder_.path().string(), "tokenizer.json", "vocab.txt"});
  folder_.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n");
  const auto tokenizer = checkpoint->LoadTokenizer();
  ASSERT_TRUE(tokenizer) << tokenizer.error().ToString();
  EXPECT_EQ((*tokenizer)->Encode("Hello").ids, (std::vector<TokenId>{2, 5, 3}));
}

TEST_F(CheckpointTest, DamagedTokenizerNamesTheFolder) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", OneTensor("a"));
  folder_.Write("tokenizer.json", "{");
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  ExpectError(checkpoint->LoadTokenizer(), ErrorCode::kInvalidFormat,
              {folder_.path().string(), "tokenizer.json"});
}

// What an interrupted download leaves must not pass for a file that is not there.
TEST_F(CheckpointTest, EmptyTokenizerFileIsNoAbsentOne) {
  folder_.Write("config.json", kBertConfig);
  folder_.Write("model.safetensors", OneTensor("a"));
  folder_.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n");
  folder_.Write("tokenizer.json", "");
  const auto checkpoint = Open();
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  ExpectError(checkpoint->LoadTokenizer(), ErrorCode::kInvalidFormat,
              {"tokenizer.json", "is empty"});
}

TEST_F(CheckpointTest, GgufWithoutVocabularyHasNoTokenizer) {
  const auto file =
      folder_.Write("m.gguf", TinyLlamaGguf().F32Tensor("token_embd.weight", {8, 4}).Build());
  const auto checkpoint = Checkpoint::Open(file);
  ASSERT_TRUE(checkpoint) << checkpoint.error().ToString();
  ExpectError(checkpoint->LoadTokenizer(), ErrorCode::kNotFound,
              {"m.gguf", "'tokenizer.ggml.model'"});
}

}  // namespace
}  // namespace mdsa
