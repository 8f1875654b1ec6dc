// The scales' own 8-bit quantization. Its offset is a mean, whose rounding depends on the order of
// the additions, so the order is part of the format: it is that of PyTorch's single-threaded fp32
// sum over a contiguous vector on x86.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "quant/nf4.h"

namespace mdsa::quant {
namespace {

constexpr std::int64_t kLanes = 8;    // items of the sum are vectors of 8, or single values
constexpr std::int64_t kColumns = 4;  // independent accumulators
constexpr int kLevels = 4;            // of the cascade

template <std::int64_t kWidth>
struct Item {
  std::array<float, kWidth> lane{};

  void Add(const float* values) {
    for (std::int64_t i = 0; i < kWidth; ++i) lane[i] += values[i];
  }
  void Add(const Item& other) { Add(other.lane.data()); }
};

int CeilLog2(std::int64_t x) {
  return x <= 2 ? 1 : std::bit_width(static_cast<std::uint64_t>(x - 1));
}

// A row is kColumns items. Rows are added to level 0 of their column; whenever level j has taken
// 2^power additions it moves up into level j + 1, so that no accumulator grows far beyond what is
// added to it.
template <std::int64_t kWidth>
class Cascade {
 public:
  explicit Cascade(std::int64_t rows) : power_(std::max(4, CeilLog2(rows) / kLevels)) {}

  void AddRow(const float* row) {
    for (std::int64_t c = 0; c < kColumns; ++c) level_[0][c].Add(row + c * kWidth);
    ++rows_;
    const std::int64_t mask = (std::int64_t{1} << power_) - 1;
    for (int j = 1; j < kLevels && (rows_ & (mask << ((j - 1) * power_))) == 0; ++j) MoveUp(j);
  }

  std::array<Item<kWidth>, kColumns> Finish() {
    for (int j = 1; j < kLevels; ++j) {
      for (std::int64_t c = 0; c < kColumns; ++c) level_[0][c].Add(level_[j][c]);
    }
    return level_[0];
  }

 private:
  void MoveUp(int j) {
    for (std::int64_t c = 0; c < kColumns; ++c) {
      level_[j][c].Add(level_[j - 1][c]);
      level_[j - 1][c] = {};
    }
  }

  int power_;
  std::int64_t rows_ = 0;
  std::array<std::array<Item<kWidth>, kColumns>, kLevels> level_{};
};

// Sum of `count` items that follow each other from `values` on.
template <std::int64_t kWidth>
Item<kWidth> SumItems(const float* values, std::int64_t count) {
  const std::int64_t rows = count / kColumns;
  Cascade<kWidth> cascade(rows);
  for (std::int64_t r = 0; r < rows; ++r) cascade.AddRow(values + r * kColumns * kWidth);
  auto columns = cascade.Finish();
  for (std::int64_t i = rows * kColumns; i < count; ++i) columns[0].Add(values + i * kWidth);
  for (std::int64_t c = 1; c < kColumns; ++c) columns[0].Add(columns[c]);
  return columns[0];
}

float Mean(std::span<const float> values) {
  const auto n = static_cast<std::int64_t>(values.size());
  if (n == 0) return 0.0f;
  const auto count = static_cast<float>(n);
  if (n < kLanes) return SumItems<1>(values.data(), n).lane[0] / count;
  const std::int64_t vectors = n / kLanes;
  const Item<kLanes> sums = SumItems<kLanes>(values.data(), vectors);
  float sum = 0.0f;
  for (float value : values.subspan(vectors * kLanes)) sum += value;
  for (float lane : sums.lane) sum += lane;
  return sum / count;
}

constexpr std::int64_t kSteps = 65536;  // of the look-up over [-1, 1]
using CodeTable = std::array<std::uint8_t, kSteps>;

// Entry i: how many midpoints of neighbours in the dynamic map lie below the value of step i.
std::unique_ptr<const CodeTable> MakeCodeTable() {
  auto table = std::make_unique<CodeTable>();
  std::size_t code = 0;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    const float fraction = static_cast<float>(2 * i) / 65535.0f;
    const float value = -1.0f + fraction;
    while (code < 255 && 0.5f * (kDynamicMap[code] + kDynamicMap[code + 1]) < value) ++code;
    (*table)[i] = static_cast<std::uint8_t>(code);
  }
  return table;
}

const CodeTable& Codes() {
  static const std::unique_ptr<const CodeTable> table = MakeCodeTable();
  return *table;
}

void NestBlock(std::span<const float> absmax, float offset, std::uint8_t* codes,
               float& nested_absmax) {
  float largest = 0.0f;
  for (float value : absmax) {
    const float magnitude = std::abs(value - offset);
    if (magnitude > largest) largest = magnitude;  // false for NaN
  }
  nested_absmax = largest;
  const float inverse = 1.0f / largest;
  const CodeTable& table = Codes();
  for (std::size_t i = 0; i < absmax.size(); ++i) {
    // Zero times an infinite inverse is NaN: a block without differences has codes 0 as well.
    const float scaled = (absmax[i] - offset) * inverse;
    const float clamped = scaled > 1.0f ? 1.0f : scaled >= -1.0f ? scaled : -1.0f;
    const float step = (clamped + 1.0f) * 0.5f * 65535.0f;
    codes[i] = table[static_cast<std::size_t>(step + 0.5f)];
  }
}

}  // namespace

float Nf4NestReference(std::span<const float> absmax, std::span<std::uint8_t> codes,
                       std::span<float> nested_absmax) {
  const auto blocks = static_cast<std::int64_t>(absmax.size());
  MDSA_DCHECK(codes.size() == absmax.size());
  MDSA_DCHECK(static_cast<std::int64_t>(nested_absmax.size()) ==
              CeilDiv(blocks, kNf4NestedBlockSize));
  const float offset = Mean(absmax);
  for (std::int64_t begin = 0; begin < blocks; begin += kNf4NestedBlockSize) {
    const std::int64_t size = std::min(kNf4NestedBlockSize, blocks - begin);
    NestBlock(absmax.subspan(begin, size), offset, codes.data() + begin,
              nested_absmax[begin / kNf4NestedBlockSize]);
  }
  return offset;
}

}  // namespace mdsa::quant
