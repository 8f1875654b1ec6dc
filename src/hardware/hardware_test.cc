#include "mdsa/hardware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hardware/fixture_tree.h"
#include "hardware/host.h"

namespace mdsa {
namespace {

using ::testing::ElementsAre;

constexpr const char* kFourCores =
    "processor : 0\nmodel name : Big CPU\nphysical id : 0\ncore id : 0\nflags : fpu fma avx2\n"
    "processor : 1\nphysical id : 0\ncore id : 0\n"
    "processor : 2\nphysical id : 0\ncore id : 1\n"
    "processor : 3\nphysical id : 0\ncore id : 1\n";

void WriteMachine(FixtureTree& tree) {
  tree.Write("proc/cpuinfo", kFourCores)
      .Write("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 6000 kB\n");
}

void WriteContainer(FixtureTree& tree, const char* cpu_max, const char* memory_max) {
  tree.Write("proc/self/cgroup", "0::/\n")
      .Write("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
      .Write("sys/fs/cgroup/cpu.max", cpu_max)
      .Write("sys/fs/cgroup/memory.max", memory_max)
      .Write("sys/fs/cgroup/memory.current", "1024000\n");
}

TEST(DescribeHostTest, BareMachine) {
  FixtureTree tree;
  WriteMachine(tree);
  const HardwareInfo info = DescribeHost(tree.root(), 4);
  EXPECT_EQ(info.cpu_model, "Big CPU");
  EXPECT_EQ(info.logical_cores, 4);
  EXPECT_EQ(info.physical_cores, 2);
  EXPECT_EQ(info.usable_cores, 4);
  EXPECT_EQ(info.total_memory_bytes, 8000u * 1024);
  EXPECT_EQ(info.available_memory_bytes, 6000u * 1024);
  EXPECT_THAT(info.cpu_features, ElementsAre("fma", "avx2"));
}

TEST(DescribeHostTest, AffinityNarrowsTheCores) {
  FixtureTree tree;
  WriteMachine(tree);
  EXPECT_EQ(DescribeHost(tree.root(), 3).usable_cores, 3);
  EXPECT_EQ(DescribeHost(tree.root(), 0).usable_cores, 1);
}

TEST(DescribeHostTest, ContainerNarrowsCoresAndMemory) {
  FixtureTree tree;
  WriteMachine(tree);
  WriteContainer(tree, "150000 100000\n", "2048000\n");
  const HardwareInfo info = DescribeHost(tree.root(), 4);
  EXPECT_EQ(info.usable_cores, 2);  // 1.5, rounded up
  EXPECT_EQ(info.logical_cores, 4);
  EXPECT_EQ(info.total_memory_bytes, 2'048'000u);
  EXPECT_EQ(info.available_memory_bytes, 1'024'000u);
}

TEST(DescribeHostTest, ALimitAboveTheMachineChangesNothing) {
  FixtureTree tree;
  WriteMachine(tree);
  WriteContainer(tree, "99900000 100000\n", "99999999999\n");
  const HardwareInfo info = DescribeHost(tree.root(), 4);
  EXPECT_EQ(info.usable_cores, 4);
  EXPECT_EQ(info.total_memory_bytes, 8000u * 1024);
  EXPECT_EQ(info.available_memory_bytes, 6000u * 1024);
}

TEST(DescribeHostTest, NoMoreIsAvailableThanALimitWhoseUsageCannotBeRead) {
  FixtureTree tree;
  WriteMachine(tree);
  WriteContainer(tree, "max 100000\n", "2048000\n");
  std::filesystem::remove(tree.root() / "sys/fs/cgroup/memory.current");
  const HardwareInfo info = DescribeHost(tree.root(), 4);
  EXPECT_EQ(info.total_memory_bytes, 2'048'000u);
  EXPECT_EQ(info.available_memory_bytes, 2'048'000u);
}

TEST(DescribeHostTest, ASliverOfACoreIsStillOneThread) {
  FixtureTree tree;
  WriteMachine(tree);
  WriteContainer(tree, "1000 100000\n", "max\n");
  EXPECT_EQ(DescribeHost(tree.root(), 4).usable_cores, 1);
}

TEST(DescribeHostTest, NothingReadable) {
  const FixtureTree tree;
  const HardwareInfo info = DescribeHost(tree.root(), 2);
  EXPECT_EQ(info.logical_cores, 2);
  EXPECT_EQ(info.physical_cores, 2);
  EXPECT_EQ(info.usable_cores, 2);
  EXPECT_EQ(info.total_memory_bytes, 0u);
}

TEST(DetectHardwareTest, ThisMachineMakesSense) {
  const HardwareInfo info = DetectHardware();
  EXPECT_EQ(info.platform, "Linux");
  EXPECT_GE(info.usable_cores, 1);
  EXPECT_LE(info.usable_cores, info.logical_cores);
  EXPECT_LE(info.physical_cores, info.logical_cores);
  EXPECT_GT(info.total_memory_bytes, 0u);
  EXPECT_LE(info.available_memory_bytes, info.total_memory_bytes);
  EXPECT_FALSE(info.has_mps);
}

}  // namespace
}  // namespace mdsa
