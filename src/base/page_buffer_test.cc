#include "base/page_buffer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace mdsa {
namespace {

TEST(PageBufferTest, IsZeroedAlignedAndWritable) {
  auto buffer = PageBuffer::Allocate(100003);
  ASSERT_TRUE(buffer) << buffer.error().ToString();
  EXPECT_EQ(buffer->size(), 100003u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) %
                static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE)),
            0u);
  EXPECT_TRUE(std::ranges::all_of(buffer->bytes(), [](std::byte b) { return b == std::byte{0}; }));
  buffer->bytes().back() = std::byte{7};
  EXPECT_EQ(std::as_const(*buffer).bytes()[100002], std::byte{7});
}

TEST(PageBufferTest, ZeroBytesIsAnEmptyBuffer) {
  auto buffer = PageBuffer::Allocate(0);
  ASSERT_TRUE(buffer) << buffer.error().ToString();
  EXPECT_TRUE(buffer->bytes().empty());
}

TEST(PageBufferTest, ImpossibleSizeIsResourceExhausted) {
  auto buffer = PageBuffer::Allocate(std::size_t{1} << 62);
  ASSERT_FALSE(buffer);
  EXPECT_EQ(buffer.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(buffer.error().message(), testing::HasSubstr("4611686018427387904 bytes"));
}

TEST(PageBufferTest, MoveTakesThePages) {
  auto first = PageBuffer::Allocate(4096);
  ASSERT_TRUE(first) << first.error().ToString();
  first->data()[5] = std::byte{9};
  const std::byte* pages = first->data();
  PageBuffer second = std::move(*first);
  EXPECT_EQ(second.data(), pages);
  PageBuffer third;
  third = std::move(second);
  EXPECT_EQ(third.data(), pages);
  EXPECT_EQ(third.data()[5], std::byte{9});
}

TEST(PageBufferTest, TheFootprintIsWholePages) {
  const std::uint64_t page = PageBuffer::Footprint(1);
  EXPECT_GE(page, 4096u);
  EXPECT_EQ(PageBuffer::Footprint(0), 0u);
  EXPECT_EQ(PageBuffer::Footprint(page), page);
  EXPECT_EQ(PageBuffer::Footprint(page + 1), 2 * page);
}

}  // namespace
}  // namespace mdsa
