// Every target against a product in double precision of the decoded weight.
#include "kernels/matmul.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/target_test_util.h"
#include "quant/gguf_blocks.h"
#include "quant/int8.h"
#include "quant/nf4.h"

namespace mdsa::kernels {
namespace {

enum class Kind {
  kF32,
  kF16,
  kBF16,
  kInt8,
  kNf4,
  kNf4Nested,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4K,
  kQ5K,
  kQ6K,
};
constexpr Kind kAllKinds[] = {Kind::kF32,       Kind::kF16,  Kind::kBF16, Kind::kInt8, Kind::kNf4,
                              Kind::kNf4Nested, Kind::kQ4_0, Kind::kQ4_1, Kind::kQ5_0, Kind::kQ5_1,
                              Kind::kQ8_0,      Kind::kQ4K,  Kind::kQ5K,  Kind::kQ6K};

// Of a kind from kQ4_0 on.
DType BlockType(Kind kind) {
  constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                              DType::kQ8_0, DType::kQ4K,  DType::kQ5K,  DType::kQ6K};
  return kTypes[static_cast<int>(kind) - static_cast<int>(Kind::kQ4_0)];
}

std::int64_t BlockOf(Kind kind) {
  return kind < Kind::kQ4_0 ? 1 : TraitsOf(BlockType(kind)).block_elements;
}

// A random weight in a stored format, and its exact values. `misalign` bytes in front of the data.
struct Weight {
  Weight(Kind kind_in, std::int64_t rows, std::int64_t cols, unsigned seed,
         std::size_t misalign = 0)
      : kind(kind_in) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.5f);
    const auto n = static_cast<std::size_t>(rows * cols);
    values.resize(n);
    for (float& value : values) value = normal(random);
    view.rows = rows;
    view.cols = cols;
    Encode(random, misalign);
    view.data = bytes.data() + misalign;
  }

  void Encode(std::mt19937& random, std::size_t misalign) {
    const std::size_t n = values.size();
    const auto resize = [&](std::size_t size) {
      bytes.resize(size + misalign);
      return bytes.data() + misalign;
    };
    switch (kind) {
      case Kind::kF32:
        view.format = WeightFormat::kF32;
        std::ranges::copy(std::as_bytes(std::span(values)), resize(4 * n));
        break;
      case Kind::kF16:
      case Kind::kBF16: {
        const bool half = kind == Kind::kF16;
        view.format = half ? WeightFormat::kF16 : WeightFormat::kBF16;
        std::byte* out = resize(2 * n);
        for (std::size_t i = 0; i < n; ++i) {
          const std::uint16_t bits = half ? ToFloat16(values[i]).bits : ToBFloat16(values[i]).bits;
          std::memcpy(out + 2 * i, &bits, 2);
          values[i] = half ? ToFloat(Float16{bits}) : ToFloat(BFloat16{bits});
        }
        break;
      }
      case Kind::kInt8: {
        view.format = WeightFormat::kInt8;
        auto* quantized = reinterpret_cast<std::int8_t*>(resize(n));
        scales.resize(static_cast<std::size_t>(view.rows));
        for (std::int64_t r = 0; r < view.rows; ++r) {
          const auto cols = static_cast<std::size_t>(view.cols);
          const std::size_t at = static_cast<std::size_t>(r) * cols;
          const std::span<float> row(values.data() + at, cols);
          scales[static_cast<std::size_t>(r)] =
              quant::Int8EncodeRowReference(row, {quantized + at, cols});
          quant::Int8DecodeRowReference({quantized + at, cols}, scales[static_cast<std::size_t>(r)],
                                        row);
        }
        view.row_scale = scales.data();
        break;
      }
      case Kind::kNf4:
      case Kind::kNf4Nested: {
        view.format = WeightFormat::kNf4;
        const auto count = static_cast<std::int64_t>(n);
        const auto packed_bytes = static_cast<std::size_t>(quant::Nf4PackedBytes(count));
        auto* packed = reinterpret_cast<std::uint8_t*>(resize(packed_bytes));
        scales.resize(static_cast<std::size_t>(quant::Nf4Blocks(count)));
        quant::Nf4EncodeReference(values, {packed, packed_bytes}, scales);
        quant::Nf4View nf4{.count = count, .packed = {packed, packed_bytes}};
        if (kind == Kind::kNf4) {
          view.absmax = scales.data();
          nf4.absmax = scales;
        } else {
          codes.resize(scales.size());
          nested.resize(static_cast<std::size_t>(quant::Nf4NestedBlocks(count)));
          view.absmax_offset = quant::Nf4NestReference(scales, codes, nested);
          view.absmax_codes = codes.data();
          view.nested_absmax = nested.data();
          nf4.absmax_codes = codes;
          nf4.nested_absmax = nested;
          nf4.offset = view.absmax_offset;
        }
        quant::Nf4DecodeReference(nf4, 0, values);
        break;
      }
      default:
        EncodeBlocks(random, resize);
    }
  }

  template <typename Resize>
  void EncodeBlocks(std::mt19937& random, const Resize& resize) {
    view.format = WeightFormat::kBlocks;
    view.block_type = BlockType(kind);
    const DTypeTraits& traits = TraitsOf(view.block_type);
    const std::size_t blocks = values.size() / static_cast<std::size_t>(traits.block_elements);
    const auto size = static_cast<std::size_t>(traits.block_bytes);
    std::byte* out = resize(blocks * size);
    std::uniform_int_distribution<int> byte(0, 255);
    for (std::size_t i = 0; i < blocks * size; ++i) out[i] = static_cast<std::byte>(byte(random));
    // Random scales of a sane size where the struct has them.
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::uint16_t d = ToFloat16(0.01f + 0.0001f * static_cast<float>(byte(random))).bits;
      const std::size_t at = kind == Kind::kQ6K ? size - 2 : 0;
      std::memcpy(out + b * size + at, &d, 2);
      if (kind == Kind::kQ4_1 || kind == Kind::kQ5_1 || kind == Kind::kQ4K || kind == Kind::kQ5K) {
        std::memcpy(out + b * size + 2, &d, 2);
      }
    }
    quant::DecodeBlocksReference(view.block_type, out, values);
  }

  Kind kind;
  WeightView view;
  std::vector<float> values;  // what the stored weight stands for
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  std::vector<std::uint8_t> codes;
  std::vector<float> nested;
};

struct Case {
  std::int64_t m;
  std::int64_t rows;
  std::int64_t cols;
  bool bias = true;
  std::int64_t extra_stride = 0;
  std::size_t misalign = 0;
};

std::string Describe(Kind kind, const Case& c) {
  return std::string(ActiveTarget()) + " kind " + std::to_string(static_cast<int>(kind)) + " m " +
         std::to_string(c.m) + " rows " + std::to_string(c.rows) + " cols " +
         std::to_string(c.cols);
}

// With exactly the scratch that the call asks for.
void Multiply(const float* x, std::int64_t x_stride, std::int64_t m,
              std::span<const MatMulTask> tasks, ThreadPool& pool) {
  TestScratch scratch(MatMulScratchBytes(m, tasks.front().weight.cols, pool.threads()));
  MatMul(x, x_stride, m, tasks, scratch.span(), pool);
}

// The one product whose activations are rounded, to two bytes in groups of 64 (matmul_int8-inl.h).
bool RoundsActivations(Kind kind, const Case& c) {
  return ActiveTarget() == "avx512_vnni" && kind == Kind::kInt8 && c.cols % 64 == 0 && c.m >= 10;
}

// Runs `c` and checks every output; also that the gaps between rows are left alone.
void Check(Kind kind, const Case& c, ThreadPool& pool) {
  SCOPED_TRACE(Describe(kind, c));
  const Weight weight(kind, c.rows, c.cols, 7, c.misalign);
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  const std::int64_t xs = c.cols + c.extra_stride;
  const std::int64_t os = c.rows + c.extra_stride;
  std::vector<float> x(static_cast<std::size_t>(c.m * xs) + 1);
  for (float& value : x) value = normal(random);
  std::vector<float> bias(static_cast<std::size_t>(c.rows));
  for (float& value : bias) value = normal(random);
  constexpr float kUntouched = 123.0f;
  std::vector<float> out(static_cast<std::size_t>(c.m * os) + 1, kUntouched);
  const MatMulTask task{weight.view, c.bias ? bias.data() : nullptr, out.data(), os};
  Multiply(x.data(), xs, c.m, {&task, 1}, pool);
  double error = 0.0;
  double reference = 0.0;
  for (std::int64_t i = 0; i < c.m; ++i) {
    for (std::int64_t n = 0; n < c.rows; ++n) {
      double sum = 0.0;
      double magnitude = 0.0;
      double largest_x = 0.0;
      double weights = 0.0;
      for (std::int64_t k = 0; k < c.cols; ++k) {
        const double xk = static_cast<double>(x[static_cast<std::size_t>(i * xs + k)]);
        const double wk =
            static_cast<double>(weight.values[static_cast<std::size_t>(n * c.cols + k)]);
        sum += xk * wk;
        magnitude += std::abs(xk * wk);
        largest_x = std::max(largest_x, std::abs(xk));
        weights += std::abs(wk);
      }
      if (c.bias) sum += static_cast<double>(bias[static_cast<std::size_t>(n)]);
      const double got = static_cast<double>(out[static_cast<std::size_t>(i * os + n)]);
      double bound = 1e-6 * magnitude + 1e-6;
      if (RoundsActivations(kind, c)) bound += largest_x / (127 * 256) * weights;
      ASSERT_NEAR(got, sum, bound) << "row " << i << " column " << n;
      error += (got - sum) * (got - sum);
      reference += sum * sum;
    }
    for (std::int64_t n = c.rows; n < os; ++n) {
      ASSERT_EQ(out[static_cast<std::size_t>(i * os + n)], kUntouched);
    }
  }
  if (c.rows * c.m >= 64 && c.cols >= 32) {
    const double relative = std::sqrt(error / reference);
    EXPECT_LT(relative, RoundsActivations(kind, c) ? 5e-5 : 1e-6);
  }
}

class MatMulTest : public TargetTest {};
MDSA_INSTANTIATE_FOR_TARGETS(MatMulTest);

TEST_P(MatMulTest, EveryFormatAndShape) {
  ThreadPool pool(2);
  for (const Kind kind : kAllKinds) {
    const std::int64_t block = BlockOf(kind);
    for (const std::int64_t m : {1, 2, 3, 4, 5, 7, 8, 13, 17, 33, 61}) {
      for (const std::int64_t rows : {1, 7, 8, 33, 66}) {
        for (const std::int64_t cols : {1, 3, 31, 64, 65, 128, 200}) {
          if (cols % block != 0 && block > 1) continue;
          Check(kind, {.m = m, .rows = rows, .cols = cols, .bias = rows % 2 == 1}, pool);
        }
      }
    }
  }
}

TEST_P(MatMulTest, KBlocksOfTwoHundredAndFiftySix) {
  ThreadPool pool(3);
  for (const Kind kind : {Kind::kQ4K, Kind::kQ5K, Kind::kQ6K, Kind::kQ8_0}) {
    for (const std::int64_t m : {1, 3, 9, 20}) {
      Check(kind, {.m = m, .rows = 37, .cols = 768}, pool);
    }
  }
}

// More columns than one panel or one pass holds.
TEST_P(MatMulTest, DeepRows) {
  ThreadPool pool(2);
  for (const Kind kind : kAllKinds) {
    for (const std::int64_t m : {1, 5, 40}) {
      Check(kind, {.m = m, .rows = 19, .cols = 4608}, pool);
    }
  }
}

TEST_P(MatMulTest, StridesMisalignmentAndThreads) {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    for (const Kind kind : kAllKinds) {
      const std::int64_t cols = BlockOf(kind) == 1 ? 192 : 256;
      const std::size_t misalign = kind == Kind::kF32 ? 4 : 2;
      for (const std::int64_t m : {1, 6, 50}) {
        Check(kind, {.m = m, .rows = 131, .cols = cols, .extra_stride = 5, .misalign = misalign},
              pool);
      }
    }
  }
}

TEST_P(MatMulTest, EmptySizes) {
  ThreadPool pool(2);
  for (const Kind kind : {Kind::kF32, Kind::kBF16, Kind::kInt8, Kind::kNf4}) {
    Check(kind, {.m = 0, .rows = 5, .cols = 8}, pool);
    Check(kind, {.m = 3, .rows = 0, .cols = 8}, pool);
    Check(kind, {.m = 3, .rows = 5, .cols = 0}, pool);
    Check(kind, {.m = 40, .rows = 5, .cols = 0}, pool);
  }
}

TEST_P(MatMulTest, SeveralTasksShareTheActivations) {
  ThreadPool pool(3);
  constexpr std::int64_t kCols = 192;
  std::vector<Weight> weights;
  for (int t = 0; t < 11; ++t) {
    weights.emplace_back(kAllKinds[t % 11], 10 + 13 * t, kCols, static_cast<unsigned>(t));
  }
  for (const std::int64_t m : {1, 4, 37}) {
    std::vector<float> x(static_cast<std::size_t>(m * kCols));
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (float& value : x) value = normal(random);
    std::vector<std::vector<float>> together(weights.size());
    std::vector<MatMulTask> tasks;
    for (std::size_t t = 0; t < weights.size(); ++t) {
      together[t].resize(static_cast<std::size_t>(m * weights[t].view.rows));
      tasks.push_back({weights[t].view, nullptr, together[t].data(), weights[t].view.rows});
    }
    Multiply(x.data(), kCols, m, tasks, pool);
    for (std::size_t t = 0; t < weights.size(); ++t) {
      std::vector<float> alone(together[t].size());
      const MatMulTask task{weights[t].view, nullptr, alone.data(), weights[t].view.rows};
      Multiply(x.data(), kCols, m, {&task, 1}, pool);
      EXPECT_EQ(alone, together[t]) << "task " << t;
    }
  }
}

// A panel of int8 codes is 8192 columns deep, one of fp32 values 2048.
TEST_P(MatMulTest, RowsLongerThanAPanel) {
  ThreadPool pool(2);
  Check(Kind::kInt8, {.m = 13, .rows = 35, .cols = 8192 + 3 * 64}, pool);
  Check(Kind::kNf4Nested, {.m = 25, .rows = 35, .cols = 2048 + 3 * 64}, pool);
}

TEST_P(MatMulTest, WhatIsNoNumberStaysInItsRow) {
  ThreadPool pool(2);
  constexpr std::int64_t kRows = 33;
  constexpr std::int64_t kCols = 192;
  for (const Kind kind : {Kind::kInt8, Kind::kNf4Nested, Kind::kF32}) {
    const Weight weight(kind, kRows, kCols, 3);
    for (const std::int64_t m : {3, 12, 30}) {
      for (const float bad : {std::nanf(""), -INFINITY}) {
        std::vector<float> x(static_cast<std::size_t>(m * kCols), 0.25f);
        x[kCols + 70] = bad;
        std::vector<float> out(static_cast<std::size_t>(m * kRows));
        const MatMulTask task{weight.view, nullptr, out.data(), kRows};
        Multiply(x.data(), kCols, m, {&task, 1}, pool);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_EQ(std::isfinite(out[i]), i / kRows != 1) << i << " of m " << m;
        }
      }
    }
  }
}

TEST_P(MatMulTest, DecodeRowEqualsTheReference) {
  for (const Kind kind : kAllKinds) {
    for (const std::int64_t cols : {1, 31, 64, 100, 256}) {
      if (cols % BlockOf(kind) != 0) continue;
      const Weight weight(kind, 5, cols, 3, kind == Kind::kF32 ? 4 : 2);
      std::vector<float> row(static_cast<std::size_t>(cols));
      for (std::int64_t r = 0; r < 5; ++r) {
        DecodeRow(weight.view, r, row.data());
        for (std::int64_t k = 0; k < cols; ++k) {
          const float want = weight.values[static_cast<std::size_t>(r * cols + k)];
          // The row scale of int8 is multiplied by 1 / 127 first, the reference does so last.
          const float slack = kind == Kind::kInt8 ? std::abs(want) * 3e-7f : 0.0f;
          EXPECT_NEAR(row[static_cast<std::size_t>(k)], want, slack);
        }
      }
    }
  }
}

}  // namespace
}  // namespace mdsa::kernels
