// Kernels run inside ParallelFor, where an exception would end the process, and on memory that
// their caller has accounted for: they must not allocate. This program counts every allocation.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "kernels/target_test_util.h"

namespace {
std::atomic<std::int64_t> g_allocations{0};

void* Allocate(std::size_t bytes, std::size_t alignment) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace mdsa::kernels {
namespace {

class AllocationTest : public TargetTest {};
MDSA_INSTANTIATE_FOR_TARGETS(AllocationTest);

TEST_P(AllocationTest, ProductsAllocateNothing) {
  constexpr std::int64_t kRows = 300;
  constexpr std::int64_t kCols = 512;
  ThreadPool pool(3);
  const std::vector<std::byte> data(kRows * kCols * 4);
  const std::vector<float> scales(kRows * kCols / 64, 1.0f);
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kInt8, WeightFormat::kNf4, WeightFormat::kBlocks}) {
    for (const std::int64_t m : {1, 3, 40}) {
      const std::vector<float> x(static_cast<std::size_t>(m * kCols), 1.0f);
      std::vector<float> out(static_cast<std::size_t>(m * kRows));
      std::vector<float> row(kCols);
      const WeightView weight{.format = format,
                              .block_type = DType::kQ4_1,
                              .rows = kRows,
                              .cols = kCols,
                              .data = data.data(),
                              .row_scale = scales.data(),
                              .absmax = scales.data()};
      const MatMulTask task{weight, nullptr, out.data(), kRows};
      const TestScratch scratch(MatMulScratchBytes(m, kCols, pool.threads()));
      const std::int64_t before = g_allocations.load();
      MatMul(x.data(), kCols, m, {&task, 1}, scratch.span(), pool);
      DecodeRow(weight, kRows - 1, row.data());
      EXPECT_EQ(g_allocations.load(), before) << static_cast<int>(format) << " m " << m;
    }
  }
}

TEST_P(AllocationTest, AttentionAllocatesNothing) {
  ThreadPool pool(3);
  for (const std::int64_t m : {1, 60}) {
    AttentionArgs args;
    args.m = m;
    args.heads = 6;
    args.kv_heads = 2;
    args.head_dim = 40;
    args.kv_length = args.kv_capacity = 1500;
    args.q_stride = args.out_stride = args.heads * args.head_dim;
    const std::vector<float> q(static_cast<std::size_t>(m * args.q_stride), 1.0f);
    const std::vector<float> cache(2 * 1500 * 40, 1.0f);
    std::vector<float> out(q.size());
    args.q = q.data();
    args.keys = args.values = cache.data();
    args.out = out.data();
    const TestScratch scratch(AttentionScratchBytes(m, 6, 2, 40, pool.threads()));
    const std::int64_t before = g_allocations.load();
    Attention(args, scratch.span(), pool);
    EXPECT_EQ(g_allocations.load(), before) << "m " << m;
  }
}

TEST(ScratchBytesTest, AbsurdSizesDoNotWrap) {
  EXPECT_GT(MatMulScratchBytes(std::int64_t{1} << 40, std::int64_t{1} << 40, 64),
            std::size_t{1} << 50);
  EXPECT_GT(AttentionScratchBytes(std::int64_t{1} << 40, 8, 8, std::int64_t{1} << 55, 64),
            std::size_t{1} << 50);
}

}  // namespace
}  // namespace mdsa::kernels
