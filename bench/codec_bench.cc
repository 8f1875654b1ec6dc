// Single-threaded speed of the codec kernels on every target of the machine, in bytes of fp32 per
// second: the input of an encoder, the output of a decoder. Sizes: one that stays in the second
// level cache and one that does not fit any.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec.h"
#include "kernels/dispatch.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

struct Buffers {
  explicit Buffers(std::int64_t n)
      : floats(n),
        bytes(n * 4),
        packed(quant::Nf4PackedBytes(n)),
        absmax(quant::Nf4Blocks(n)),
        absmax_codes(absmax.size()),
        nested(quant::Nf4NestedBlocks(n)),
        codes(n) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    for (float& value : floats) value = normal(random);
    // Bytes of at most 0x3b keep every fp16 among them finite.
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 0x3c);
  }

  std::vector<float> floats;
  std::vector<std::byte> bytes;
  std::vector<std::uint8_t> packed;
  std::vector<float> absmax;
  std::vector<std::uint8_t> absmax_codes;
  std::vector<float> nested;
  std::vector<std::int8_t> codes;
};

using Operation = std::function<void(Buffers&)>;

struct Case {
  std::string name;
  Operation run;
};

std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"Nf4Encode", [](Buffers& b) { Nf4Encode(b.floats, b.packed, b.absmax); }},
      {"Nf4EncodeAndNest",
       [](Buffers& b) {
         Nf4Encode(b.floats, b.packed, b.absmax);
         benchmark::DoNotOptimize(quant::Nf4NestReference(b.absmax, b.absmax_codes, b.nested));
       }},
      {"Int8EncodeRows",
       [](Buffers& b) {
         constexpr std::size_t kRow = 4096;
         for (std::size_t i = 0; i < b.floats.size(); i += kRow) {
           Int8EncodeRow(std::span(b.floats).subspan(i, kRow), std::span(b.codes).subspan(i, kRow));
         }
       }},
      {"EncodeBFloat16",
       [](Buffers& b) { EncodeBFloat16(b.floats, reinterpret_cast<BFloat16*>(b.bytes.data())); }},
  };
  for (const DType dtype :
       {DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
        DType::kQ5_1, DType::kQ8_0, DType::kQ4K, DType::kQ5K, DType::kQ6K}) {
    cases.push_back({"Decode" + std::string(DTypeName(dtype)),
                     [dtype](Buffers& b) { DecodeToFloat(dtype, b.bytes.data(), b.floats); }});
  }
  return cases;
}

void Register(std::string_view target) {
  for (const Case& c : Cases()) {
    for (const std::int64_t n : {std::int64_t{1} << 16, std::int64_t{1} << 24}) {
      const std::string name = c.name + "/" + std::string(target) + "/" + std::to_string(n);
      benchmark::RegisterBenchmark(name.c_str(), [=, run = c.run](benchmark::State& state) {
        if (!SelectTarget(target)) return state.SkipWithError("target not supported");
        Buffers buffers(n);
        for (auto _ : state) {
          run(buffers);
          benchmark::ClobberMemory();
        }
        state.SetBytesProcessed(state.iterations() * n * static_cast<std::int64_t>(sizeof(float)));
      });
    }
  }
}

}  // namespace
}  // namespace mdsa::kernels

int main(int argc, char** argv) {
  for (std::string_view target : mdsa::kernels::SupportedTargets()) {
    mdsa::kernels::Register(target);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
