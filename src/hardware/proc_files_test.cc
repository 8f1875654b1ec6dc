#include "hardware/proc_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mdsa {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CpuInfoTest, CountsCoresOncePerPackage) {
  // Two packages of one core with two threads each.
  const CpuInfo info = ParseCpuInfo(
      "processor\t: 0\nmodel name\t: Some CPU 9000\nphysical id\t: 0\ncore id\t: 0\n"
      "flags\t\t: fpu avx2 fma\n\n"
      "processor\t: 1\nmodel name\t: Some CPU 9000\nphysical id\t: 0\ncore id\t: 0\nflags : fpu\n\n"
      "processor\t: 2\nphysical id\t: 1\ncore id\t: 0\n\n"
      "processor\t: 3\nphysical id\t: 1\ncore id\t: 0\n");
  EXPECT_EQ(info.model, "Some CPU 9000");
  EXPECT_EQ(info.logical_cores, 4);
  EXPECT_EQ(info.physical_cores, 2);
  EXPECT_THAT(info.features, ElementsAre("fpu", "avx2", "fma"));
}

TEST(CpuInfoTest, ArmNamesItsFeaturesAndNoCores) {
  const CpuInfo info = ParseCpuInfo("processor\t: 0\nFeatures\t: fp asimd\nprocessor\t: 1\n");
  EXPECT_EQ(info.logical_cores, 2);
  EXPECT_EQ(info.physical_cores, 0);
  EXPECT_THAT(info.features, ElementsAre("fp", "asimd"));
}

TEST(CpuInfoTest, GarbageIsNothing) {
  for (const char* text : {"", "\n\n:\n", "processor\nflags", "processor : x\n: y\n\0"}) {
    const CpuInfo info = ParseCpuInfo(text);
    EXPECT_EQ(info.logical_cores, 0) << text;
    EXPECT_THAT(info.features, IsEmpty()) << text;
  }
}

TEST(MemInfoTest, AvailableIncludesThePageCache) {
  const HostMemory memory = ParseMemInfo(
      "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    700 kB\n"
      "Buffers:          50 kB\nCached:          600 kB\n");
  EXPECT_EQ(memory.total_bytes, 1000u * 1024);
  EXPECT_EQ(memory.available_bytes, 700u * 1024);
}

TEST(MemInfoTest, OldKernelsAreReadBySummingUp) {
  const HostMemory memory =
      ParseMemInfo("MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 600 kB\n");
  EXPECT_EQ(memory.available_bytes, 750u * 1024);
}

TEST(MemInfoTest, GarbageIsNothing) {
  const HostMemory memory = ParseMemInfo(
      "MemTotal: lots kB\nMemTotal: 99999999999999999999 kB\nMemTotal: 9999999999999999 kB\n"
      "MemTotal: 12\nMemAvailable: 5 kB\n");
  EXPECT_EQ(memory.total_bytes, 0u);
  EXPECT_EQ(memory.available_bytes, 0u);  // never more than the total
}

TEST(ParseCountTest, TakesWholeNumbersOnly) {
  EXPECT_EQ(ParseCount("42"), 42u);
  EXPECT_EQ(ParseCount(" 42\n"), 42u);
  for (const char* text :
       {"", " ", "-1", "+1", "max", "1 2", "1.5", "0x10", "99999999999999999999"}) {
    EXPECT_EQ(ParseCount(text), std::nullopt) << text;
  }
}

TEST(ReadTextTest, MissingFilesAndFoldersAreEmpty) {
  EXPECT_EQ(ReadText("/no/such/file"), "");
  EXPECT_EQ(ReadText("/"), "");
}

}  // namespace
}  // namespace mdsa
