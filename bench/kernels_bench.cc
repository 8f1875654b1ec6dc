// Matrix products, attention and element-wise operations over the shapes of SmolLM2-135M
// (576/1536), MiniLM (384/1536) and a 1.1B Llama (2048/5632).
//
// MDSA_CPU_TARGET chooses the instruction set, MDSA_BENCH_THREADS the threads (2). With one
// activation row the weights rotate through more memory than the caches hold, as they do in a
// model.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/page_buffer.h"
#include "kernels/dispatch.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"

namespace mdsa::kernels {
namespace {

ThreadPool& Pool() {
  static ThreadPool pool([] {
    const char* threads = std::getenv("MDSA_BENCH_THREADS");
    return threads != nullptr ? std::atoi(threads) : 2;
  }());
  return pool;
}

std::vector<float> Random(std::int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

// As the engine allocates it: whole pages, before the first product.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    auto pages = PageBuffer::Allocate(bytes);
    if (!pages) std::abort();
    pages_ = *std::move(pages);
  }
  operator std::span<std::byte>() { return pages_.bytes(); }

 private:
  PageBuffer pages_;
};

// Of n values, without scales that are stored apart.
std::int64_t StoredBytes(WeightFormat format, DType block_type, std::int64_t n) {
  switch (format) {
    case WeightFormat::kF32:
      return 4 * n;
    case WeightFormat::kF16:
    case WeightFormat::kBF16:
      return 2 * n;
    case WeightFormat::kInt8:
      return n;
    case WeightFormat::kNf4:
      return n / 2;
    case WeightFormat::kBlocks:
      return n / TraitsOf(block_type).block_elements * TraitsOf(block_type).block_bytes;
  }
  return 0;
}

void BM_MatMul(benchmark::State& state, WeightFormat format, DType block_type = DType::kQ4_1) {
  const std::int64_t m = state.range(0);
  const std::int64_t rows = state.range(1);
  const std::int64_t cols = state.range(2);
  const std::int64_t bytes = StoredBytes(format, block_type, rows * cols);
  const std::int64_t copies =
      m == 1 ? std::max<std::int64_t>(1, (std::int64_t{96} << 20) / bytes) : 1;
  // Small positive exponents in every format: no subnormal or infinite value slows the product
  // down.
  std::vector<std::byte> data(static_cast<std::size_t>(bytes * copies), std::byte{0x2c});
  const std::vector<float> row_scale(static_cast<std::size_t>(rows), 0.01f);
  const std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * cols / 64 + 1), 200);
  const std::vector<float> nested(codes.size() / 256 + 1, 0.1f);
  WeightView view{.format = format, .block_type = block_type, .rows = rows, .cols = cols};
  view.row_scale = row_scale.data();
  view.absmax_codes = codes.data();
  view.nested_absmax = nested.data();
  view.absmax_offset = 0.2f;
  const std::vector<float> x = Random(m * cols);
  std::vector<float> out(static_cast<std::size_t>(m * rows));
  Scratch scratch(MatMulScratchBytes(m, cols, Pool().threads()));
  std::int64_t copy = 0;
  for (auto _ : state) {
    view.data = data.data() + copy * bytes;
    copy = (copy + 1) % copies;
    const MatMulTask task{view, nullptr, out.data(), rows};
    MatMul(x.data(), cols, m, {&task, 1}, scratch, Pool());
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(m * rows * cols) * runs,
                                                 benchmark::Counter::kIsRate);
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(bytes) * runs, benchmark::Counter::kIsRate);
}

void Shapes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t m : {1, 2, 4, 8, 16, 128, 512}) {
    for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{576, 576},
                                     {1536, 576},
                                     {576, 1536},
                                     {384, 1536},
                                     {2048, 2048},
                                     {5632, 2048}}) {
      bench->Args({m, rows, cols});
    }
  }
  bench->Args({1, 49152, 576});
  bench->UseRealTime();
}

BENCHMARK_CAPTURE(BM_MatMul, f32, WeightFormat::kF32)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_MatMul, f16, WeightFormat::kF16)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_MatMul, bf16, WeightFormat::kBF16)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_MatMul, int8, WeightFormat::kInt8)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_MatMul, nf4, WeightFormat::kNf4)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_MatMul, q4_1, WeightFormat::kBlocks)->Apply(Shapes);

// Rows of whole blocks of 256 too.
void BlockShapes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t m : {1, 2, 4, 8, 128}) bench->Args({m, 2048, 2048});
  bench->UseRealTime();
}
BENCHMARK_CAPTURE(BM_MatMul, q4_0, WeightFormat::kBlocks, DType::kQ4_0)->Apply(BlockShapes);
BENCHMARK_CAPTURE(BM_MatMul, q8_0, WeightFormat::kBlocks, DType::kQ8_0)->Apply(BlockShapes);
BENCHMARK_CAPTURE(BM_MatMul, q4_k, WeightFormat::kBlocks, DType::kQ4K)->Apply(BlockShapes);
BENCHMARK_CAPTURE(BM_MatMul, q6_k, WeightFormat::kBlocks, DType::kQ6K)->Apply(BlockShapes);

// Arguments: queries, keys, heads, key/value heads; head size 64, causal.
void BM_Attention(benchmark::State& state) {
  constexpr std::int64_t kDim = 64;
  AttentionArgs args;
  args.m = state.range(0);
  args.kv_length = args.kv_capacity = state.range(1);
  args.heads = state.range(2);
  args.kv_heads = state.range(3);
  args.head_dim = kDim;
  args.q_stride = args.out_stride = args.heads * kDim;
  args.scale = 0.125f;
  const std::vector<float> q = Random(args.m * args.q_stride);
  const std::vector<float> cache = Random(args.kv_heads * args.kv_capacity * kDim);
  std::vector<float> out(q.size());
  args.q = q.data();
  args.keys = args.values = cache.data();
  args.out = out.data();
  Scratch scratch(AttentionScratchBytes(args.m, args.heads, args.kv_heads, kDim, Pool().threads()));
  for (auto _ : state) {
    Attention(args, scratch, Pool());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Attention)
    ->Args({1, 128, 9, 3})
    ->Args({1, 4096, 9, 3})
    ->Args({1, 2048, 32, 4})
    ->Args({128, 128, 9, 3})
    ->Args({512, 512, 9, 3})
    ->Args({512, 2048, 32, 4})
    ->UseRealTime();

void BM_Activation(benchmark::State& state) {
  const std::vector<float> x = Random(128 * 1536);
  std::vector<float> y = x;
  for (auto _ : state) {
    std::copy(x.begin(), x.end(), y.begin());
    Activate(static_cast<Activation>(state.range(0)), y.data(), static_cast<std::int64_t>(y.size()),
             Pool());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(x.size()));
}
BENCHMARK(BM_Activation)->DenseRange(0, 4)->UseRealTime();

void BM_Norm(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const std::int64_t dim = state.range(1);
  const std::vector<float> x = Random(rows * dim);
  const std::vector<float> weight = Random(dim);
  std::vector<float> out(x.size());
  const bool layer = state.range(2) != 0;
  for (auto _ : state) {
    if (layer) {
      LayerNorm(x.data(), x.data(), rows, dim, weight.data(), weight.data(), 1e-12f, out.data(),
                Pool());
    } else {
      RmsNorm(x.data(), rows, dim, weight.data(), 1e-5f, out.data(), Pool());
    }
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Norm)->Args({1, 576, 0})->Args({128, 576, 0})->Args({128, 384, 1})->UseRealTime();

}  // namespace
}  // namespace mdsa::kernels

int main(int argc, char** argv) {
  if (const auto status = mdsa::kernels::CheckEnvironmentTarget(); !status) {
    std::fprintf(stderr, "%s\n", status.error().ToString().c_str());
    return 1;
  }
  benchmark::AddCustomContext("target", std::string(mdsa::kernels::ActiveTarget()));
  benchmark::AddCustomContext("threads", std::to_string(mdsa::kernels::Pool().threads()));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
