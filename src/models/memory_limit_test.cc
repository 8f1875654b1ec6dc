#include "mdsa/memory_limit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "formats/printable.h"
#include "formats/test_support.h"

namespace mdsa {
namespace {

using std::string_literals::operator""s;
using test::ExpectError;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t k2To63 = std::uint64_t{1} << 63;

MemoryLimit Parsed(std::string_view text) { return MemoryLimit::Parse(text).value(); }

TEST(MemoryLimitTest, Bytes) {
  EXPECT_EQ(Parsed("4096"), MemoryLimit::Bytes(4096));
  EXPECT_EQ(Parsed("1 B"), MemoryLimit::Bytes(1));
  EXPECT_EQ(Parsed("750MB"), MemoryLimit::Bytes(750'000'000));
  EXPECT_EQ(Parsed("6.5 GB"), MemoryLimit::Bytes(6'500'000'000));
  EXPECT_EQ(Parsed(" 8GiB "), MemoryLimit::Bytes(8 * kGiB));
  EXPECT_EQ(Parsed("0.5kib"), MemoryLimit::Bytes(512));
  EXPECT_EQ(Parsed("3 kB"), MemoryLimit::Bytes(3000));
  EXPECT_EQ(Parsed("1.5MiB"), MemoryLimit::Bytes(3 << 19));
  EXPECT_EQ(Parsed("2tb"), MemoryLimit::Bytes(2'000'000'000'000));
  EXPECT_EQ(Parsed("2TIB"), MemoryLimit::Bytes(kGiB * 2048));
  EXPECT_EQ(Parsed("0.3KiB"), MemoryLimit::Bytes(307));
  EXPECT_EQ(Parsed("9223372036854775808"), MemoryLimit::Bytes(k2To63));
}

TEST(MemoryLimitTest, Shares) {
  EXPECT_EQ(Parsed("70%"), MemoryLimit::Share(0.7).value());
  EXPECT_EQ(Parsed(" 70 % "), MemoryLimit::Share(0.7).value());
  EXPECT_EQ(Parsed("0.1%"), MemoryLimit::Share(0.001).value());
  EXPECT_EQ(Parsed("100.0%"), MemoryLimit::Share(1.0).value());
  EXPECT_TRUE(MemoryLimit::Parse("70%")->is_share());
  EXPECT_FALSE(MemoryLimit::Parse("70")->is_share());
  for (double share : {0.0, -0.5, 1.0000001, std::nan(""), HUGE_VAL}) {
    ExpectError(MemoryLimit::Share(share), ErrorCode::kInvalidArgument, {"above 0", "at most 1"});
  }
}

TEST(MemoryLimitTest, WhatIsNoLimitIsNamed) {
  for (const auto& text : {""s,
                           " "s,
                           "GB"s,
                           "0"s,
                           "0%"s,
                           "0.0 GB"s,
                           "-1"s,
                           "+1"s,
                           "NaN"s,
                           "inf"s,
                           "1e3"s,
                           "0x10"s,
                           "1 G B"s,
                           "1GBx"s,
                           "1GB 2"s,
                           "1,5GB"s,
                           ".5GB"s,
                           "5.GB"s,
                           "1.2.3GB"s,
                           "0.7"s,
                           "1.5 B"s,
                           "1G"s,
                           "1PB"s,
                           "1GB%"s,
                           "%"s,
                           "101%"s,
                           "100.0000000000001%"s,
                           "-5%"s,
                           "7 0%"s,
                           "1GB\0"s,
                           "9223372036854775809"s,
                           "18446744073709551617"s,
                           "9000000TiB"s,
                           std::string(400, '9') + "%"}) {
    const auto limit = MemoryLimit::Parse(text);
    ExpectError(limit, ErrorCode::kInvalidArgument,
                {Printable(text).substr(0, 50), "750MB", "GiB", "70%"});
  }
  ExpectError(MemoryLimit::Parse("\x1b[31m"), ErrorCode::kInvalidArgument, {"'?[31m'"});
}

TEST(MemoryLimitTest, Resolve) {
  EXPECT_EQ(MemoryLimit::Bytes(5).Resolve(0).value(), 5u);
  EXPECT_EQ(MemoryLimit::Bytes(5).Resolve(3).value(), 5u);
  EXPECT_EQ(MemoryLimit::Share(0.7)->Resolve(16'000'000'000).value(), 11'200'000'000u);
  EXPECT_EQ(MemoryLimit::Share(1.0)->Resolve(7).value(), 7u);
  EXPECT_EQ(MemoryLimit::Share(0.001)->Resolve(10).value(), 1u);
  const std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(MemoryLimit::Share(1.0)->Resolve(max).value(), max);
  EXPECT_LT(MemoryLimit::Share(std::nextafter(1.0, 0.0))->Resolve(max).value(), max);
  ExpectError(MemoryLimit::Share(0.7)->Resolve(0), ErrorCode::kFailedPrecondition,
              {"70%", "bytes"});
}

TEST(MemoryLimitTest, ToStringIsReadBack) {
  EXPECT_EQ(MemoryLimit::Parse("6.5 GB")->ToString(), "6500000000");
  for (const char* text : {"70%", "7%", "0.1%", "0.07%", "12.5%", "100%", "33.3%", "10%"}) {
    EXPECT_EQ(MemoryLimit::Parse(text)->ToString(), text);
  }
  for (double share : {1.0 / 3, 0.07, 0.29, std::nextafter(1.0, 0.0), 1e-300,
                       std::numeric_limits<double>::denorm_min()}) {
    const MemoryLimit limit = *MemoryLimit::Share(share);
    EXPECT_EQ(Parsed(limit.ToString()), limit) << limit.ToString();
  }
  for (std::uint64_t bytes : {std::uint64_t{1}, 8 * kGiB, k2To63}) {
    EXPECT_EQ(Parsed(MemoryLimit::Bytes(bytes).ToString()), MemoryLimit::Bytes(bytes));
  }
}

}  // namespace
}  // namespace mdsa
