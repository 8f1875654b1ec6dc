// The bytes are compared with bitsandbytes' own in tests/python/test_quantize_checkpoint.py; here
// is what happens around them.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>

#include "formats/safetensors_source.h"
#include "formats/test_support.h"
#include "io/mapped_file.h"
#include "mdsa/quantize.h"
#include "support/tiny_llama.h"

namespace mdsa {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class QuantizeCheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    test::WriteTinyLlama(folder_, "m/");
    folder_.Write("m/tokenizer_config.json", "{}");
    folder_.Write("m/training_args.bin", "not ours");
  }

  Result<QuantizeReport> Quantize(QuantizeOptions options = {}) const {
    return QuantizeCheckpoint((folder_.path() / "m").string(), out(), options);
  }
  ErrorCode CodeOf(const QuantizeOptions& options = {}) const {
    const auto report = Quantize(options);
    return report ? ErrorCode::kInternal : report.error().code();
  }
  // The model's file with one more matrix of one zero, which lies behind the others.
  std::string WeightsAnd(const std::string& name) const {
    std::string file = *ReadFile(folder_.path() / "m/model.safetensors", 1 << 20);
    const std::size_t end = file.find("}}");  // of the header
    const std::size_t data = file.size() - (end + 2);
    file.insert(end + 1,
                fmt::format(R"(,"{}":{{"dtype":"F32","shape":[1,1],"data_offsets":[{},{}]}})", name,
                            data, data + 4));
    const std::size_t header = file.size() - data - 8;
    file.replace(0, 8, test::Raw<std::uint64_t>(header));
    return file + std::string(4, '\0');
  }
  fs::path out() const { return folder_.path() / "out"; }
  std::ptrdiff_t Entries() const {
    return std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator());
  }

  test::TemporaryFolder folder_;
};

TEST_F(QuantizeCheckpointTest, WritesACompleteFolder) {
  for (const auto quantization : {QuantizationType::kInt4, QuantizationType::kInt8}) {
    const auto report = Quantize({.quantization = quantization, .overwrite = true});
    ASSERT_TRUE(report) << report.error().ToString();
    EXPECT_EQ(report->quantized_tensors, 14);
    EXPECT_EQ(report->kept_tensors, 7);
    EXPECT_EQ(report->file_bytes, fs::file_size(out() / "model.safetensors"));
    EXPECT_TRUE(fs::exists(out() / "tokenizer_config.json"));
    EXPECT_FALSE(fs::exists(out() / "training_args.bin"));
    const auto config = ReadFile(out() / "config.json", 1 << 20);
    ASSERT_TRUE(config);
    EXPECT_THAT(*config, HasSubstr("\"quant_method\": \"bitsandbytes\""));

    auto map = MappedFile::Open(out() / "model.safetensors");
    ASSERT_TRUE(map);
    const auto source = SafetensorsSource::FromFile(*std::move(map));
    ASSERT_TRUE(source) << source.error().ToString();
    const bool int4 = quantization == QuantizationType::kInt4;
    EXPECT_EQ((*source)->tensors().size(), 7u + 14u * (int4 ? 6 : 3));
  }
  EXPECT_EQ(Entries(), 2);
}

TEST_F(QuantizeCheckpointTest, ProgressNeverFallsAndEnds) {
  QuantizeOptions options;
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  options.on_progress = [&](const LoadProgress& progress) {
    EXPECT_GE(progress.bytes_done, last);
    last = progress.bytes_done;
    total = progress.bytes_total;
  };
  ASSERT_TRUE(Quantize(options));
  EXPECT_GT(last, 0u);
  EXPECT_EQ(last, total);
}

TEST_F(QuantizeCheckpointTest, CancelLeavesNothing) {
  std::stop_source stop;
  QuantizeOptions options;
  options.stop = stop.get_token();
  options.on_progress = [&](const LoadProgress&) { stop.request_stop(); };
  EXPECT_EQ(CodeOf(options), ErrorCode::kCancelled);
  EXPECT_EQ(Entries(), 1);
}

TEST_F(QuantizeCheckpointTest, RefusesToOverwriteUnlessAsked) {
  ASSERT_TRUE(Quantize());
  EXPECT_EQ(CodeOf(), ErrorCode::kAlreadyExists);
  EXPECT_TRUE(Quantize({.overwrite = true}));
  EXPECT_EQ(Entries(), 2);
}

TEST_F(QuantizeCheckpointTest, OverwritesCheckpointsOnly) {
  folder_.Write("out/thesis.txt", "years of work");
  EXPECT_EQ(CodeOf({.overwrite = true}), ErrorCode::kFailedPrecondition);
  const auto self = QuantizeCheckpoint((folder_.path() / "m").string(), folder_.path() / "m",
                                       {.overwrite = true});
  ASSERT_FALSE(self);
  EXPECT_EQ(self.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(out() / "thesis.txt"));
  EXPECT_TRUE(fs::exists(folder_.path() / "m/config.json"));
}

TEST_F(QuantizeCheckpointTest, WrongKernelTargetInTheEnvironmentIsReported) {
  setenv("MDSA_CPU_TARGET", "z80", 1);
  const auto report = Quantize();
  unsetenv("MDSA_CPU_TARGET");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(report.error().ToString(), HasSubstr("MDSA_CPU_TARGET"));
}

TEST_F(QuantizeCheckpointTest, OverwritesNoFolderWithOtherFilesThanItsOwn) {
  ASSERT_TRUE(Quantize());
  for (const std::string name : {"notes.txt", "sub/notes.txt", "sub/config.json"}) {
    folder_.Write("out/" + name, "years of work");
    const auto report = Quantize({.overwrite = true});
    ASSERT_FALSE(report) << name;
    EXPECT_EQ(report.error().code(), ErrorCode::kFailedPrecondition);
    EXPECT_THAT(report.error().ToString(), HasSubstr(name.substr(0, name.find('/'))));
    EXPECT_TRUE(fs::exists(out() / name));
    fs::remove_all(out() / name.substr(0, name.find('/')));
  }
  fs::create_symlink(folder_.path() / "m", out() / "LICENSE");
  EXPECT_EQ(CodeOf({.overwrite = true}), ErrorCode::kFailedPrecondition);
  fs::remove(out() / "LICENSE");
  EXPECT_TRUE(Quantize({.overwrite = true}));
}

TEST_F(QuantizeCheckpointTest, OverwritesNoModelThatItDidNotMake) {
  test::WriteTinyLlama(folder_, "out/");
  const auto report = Quantize({.overwrite = true});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(report.error().ToString(), HasSubstr("no quantized model"));
  folder_.Write("out/config.json", R"({"quantization_config":{},"model_type":)");
  EXPECT_EQ(CodeOf({.overwrite = true}), ErrorCode::kFailedPrecondition);
  folder_.Write("out/config.json", R"({"quantization_config":{},"model_type":"llama"})");
  EXPECT_TRUE(Quantize({.overwrite = true}));
  fs::remove(out() / "model.safetensors");
  EXPECT_EQ(CodeOf({.overwrite = true}), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(Entries(), 2);
}

TEST_F(QuantizeCheckpointTest, OverwritesNeitherAFolderAroundTheModelNorOneInIt) {
  const std::string outer = R"({"quantization_config":{},"model_type":"llama"})";
  folder_.Write("out/config.json", outer);
  folder_.Write("out/model.safetensors", "weights");
  test::WriteTinyLlama(folder_, "out/deep/m/");
  const auto around = QuantizeCheckpoint((out() / "deep/m").string(), out(), {.overwrite = true});
  ASSERT_FALSE(around);
  EXPECT_EQ(around.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(out() / "deep/m/model.safetensors"));

  fs::create_directory(folder_.path() / "m/sub");
  const std::string model = (folder_.path() / "m").string();
  const auto within = QuantizeCheckpoint(model, folder_.path() / "m/sub", {.overwrite = true});
  ASSERT_FALSE(within);
  EXPECT_EQ(within.error().code(), ErrorCode::kInvalidArgument);

  fs::create_directory_symlink(folder_.path() / "m", folder_.path() / "link");
  const auto link = QuantizeCheckpoint(model, folder_.path() / "link", {.overwrite = true});
  ASSERT_FALSE(link);
  EXPECT_THAT(link.error().ToString(), HasSubstr("the model itself"));
}

TEST_F(QuantizeCheckpointTest, AFileThatAppearsDuringTheWorkIsKept) {
  ASSERT_TRUE(Quantize());
  QuantizeOptions options;
  options.overwrite = true;
  options.on_progress = [&](const LoadProgress&) { folder_.Write("out/notes.txt", "new"); };
  EXPECT_EQ(CodeOf(options), ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(fs::exists(out() / "notes.txt"));
  EXPECT_EQ(Entries(), 2);
}

TEST_F(QuantizeCheckpointTest, OverwritesASentenceEncoderWithItsPooling) {
  folder_.Write("m/modules.json",
                R"([{"idx":0,"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}])");
  folder_.Write("m/1_Pooling/config.json", R"({"pooling_mode_mean_tokens":true})");
  auto report = Quantize();
  ASSERT_TRUE(report) << report.error().ToString();
  EXPECT_TRUE(fs::exists(out() / "1_Pooling/config.json"));
  report = Quantize({.overwrite = true});
  EXPECT_TRUE(report) << report.error().ToString();
}

TEST_F(QuantizeCheckpointTest, WeightsThatAreNoFloatsAreNamedWithTheirFile) {
  std::string file = *ReadFile(folder_.path() / "m/model.safetensors", 1 << 20);
  // The same number of bytes, so that only the element type is wrong.
  const std::size_t name = file.find("q_proj.weight");
  file.replace(file.find(R"("F32")", name), 5, R"("I32")");
  folder_.Write("m/model.safetensors", file);
  for (const auto quantization : {QuantizationType::kInt4, QuantizationType::kInt8}) {
    const auto report = Quantize({.quantization = quantization});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), ErrorCode::kUnsupported);
    EXPECT_THAT(report.error().ToString(), AllOf(HasSubstr((folder_.path() / "m").string()),
                                                 HasSubstr("q_proj.weight"), HasSubstr("I32")));
  }
  EXPECT_EQ(Entries(), 1);
}

TEST_F(QuantizeCheckpointTest, AProgressCallbackThatThrowsEndsTheWork) {
  QuantizeOptions options;
  options.on_progress = [](const LoadProgress&) { throw std::runtime_error("no terminal"); };
  const auto report = Quantize(options);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().ToString(), HasSubstr("no terminal"));
  EXPECT_EQ(Entries(), 1);
}

// Takes minutes if a key costs a look at all others.
TEST_F(QuantizeCheckpointTest, AConfigOfAMillionKeysIsReadInNoTime) {
  std::string config(test::kTinyLlamaConfig);
  config.pop_back();
  for (int i = 0; i < 1'000'000; ++i) config += fmt::format(R"(,"{}":0)", i);
  folder_.Write("m/config.json", config + "}");
  const auto report = Quantize();
  EXPECT_TRUE(report) << report.error().ToString();
}

TEST_F(QuantizeCheckpointTest, RefusesOtherQuantizations) {
  EXPECT_EQ(CodeOf({.quantization = QuantizationType::kFp16}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CodeOf({.quantization = QuantizationType::kNone}), ErrorCode::kInvalidArgument);
}

TEST_F(QuantizeCheckpointTest, MatrixOfUnknownRoleIsNamed) {
  folder_.Write("m/model.safetensors", WeightsAnd("odd.weight"));
  const auto report = Quantize();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(report.error().ToString(), HasSubstr("odd.weight"));
  EXPECT_EQ(Entries(), 1);
}

TEST_F(QuantizeCheckpointTest, NamesTheFirstLayerThatIsNotThere) {
  std::string config(test::kTinyLlamaConfig);
  const std::string layers = R"("num_hidden_layers":2)";
  config.replace(config.find(layers), layers.size(), R"("num_hidden_layers":9000)");
  folder_.Write("m/config.json", config);
  const auto report = Quantize();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::kInvalidFormat);
  EXPECT_THAT(report.error().ToString(), HasSubstr("layers.2."));
}

}  // namespace
}  // namespace mdsa
