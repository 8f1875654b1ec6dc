#include "hardware/cgroup.h"

#include <gtest/gtest.h>

#include <string>

#include "hardware/fixture_tree.h"

namespace mdsa {
namespace {

constexpr const char* kMountV2 =
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kMountsV1 =
    "23 1 0:22 / /proc rw - proc proc rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw shared:7 - cgroup cgroup rw,memory\n";

void ExpectNoLimit(const FixtureTree& tree) {
  const CgroupLimits limits = ReadCgroupLimits(tree.root());
  EXPECT_EQ(limits.cpus, std::nullopt);
  EXPECT_EQ(limits.memory_bytes, std::nullopt);
  EXPECT_EQ(limits.available_bytes, std::nullopt);
}

TEST(CgroupTest, NoFilesNoLimit) { ExpectNoLimit(FixtureTree()); }

TEST(CgroupTest, Version2CountsPageCacheAsFree) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/\n")
      .Write("proc/self/mountinfo", kMountV2)
      .Write("sys/fs/cgroup/cpu.max", "150000 100000\n")
      .Write("sys/fs/cgroup/memory.max", "1000000\n")
      .Write("sys/fs/cgroup/memory.current", "900000\n")
      .Write("sys/fs/cgroup/memory.stat",
             "anon 300000\nfile 600000\ninactive_file 400000\nactive_file 200000\n");
  const CgroupLimits limits = ReadCgroupLimits(tree.root());
  EXPECT_EQ(limits.cpus, 1.5);
  EXPECT_EQ(limits.memory_bytes, 1'000'000u);
  EXPECT_EQ(limits.available_bytes, 700'000u);
}

TEST(CgroupTest, Version2MaxIsNoLimit) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/user.slice\n")
      .Write("proc/self/mountinfo", kMountV2)
      .Write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n")
      .Write("sys/fs/cgroup/user.slice/memory.max", "max\n")
      .Write("sys/fs/cgroup/user.slice/memory.current", "5\n");
  ExpectNoLimit(tree);
}

TEST(CgroupTest, TheTightestOfNestedGroupsCounts) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/pod/app/worker\n")
      .Write("proc/self/mountinfo", kMountV2)
      .Write("sys/fs/cgroup/pod/memory.max", "500\n")
      .Write("sys/fs/cgroup/pod/memory.current", "450\n")
      .Write("sys/fs/cgroup/pod/cpu.max", "max 100000\n")
      .Write("sys/fs/cgroup/pod/app/memory.max", "400\n")
      .Write("sys/fs/cgroup/pod/app/memory.current", "100\n")
      .Write("sys/fs/cgroup/pod/app/cpu.max", "200000 100000\n")
      .Write("sys/fs/cgroup/pod/app/worker/memory.max", "max\n")
      .Write("sys/fs/cgroup/pod/app/worker/cpu.max", "400000 100000\n");
  const CgroupLimits limits = ReadCgroupLimits(tree.root());
  EXPECT_EQ(limits.memory_bytes, 400u);
  EXPECT_EQ(limits.available_bytes, 50u);  // siblings in the pod hold the rest
  EXPECT_EQ(limits.cpus, 2.0);
}

TEST(CgroupTest, Version1ReadsBothControllers) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:pids:/\n")
      .Write("proc/self/mountinfo", kMountsV1)
      .Write("sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us", "300000\n")
      .Write("sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us", "100000\n")
      .Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
      .Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "77\n")
      .Write("sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes", "1000\n")
      .Write("sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes", "800\n")
      .Write("sys/fs/cgroup/memory/docker/ab/memory.stat",
             "cache 9\ninactive_file 9\ntotal_inactive_file 300\ntotal_active_file 200\n");
  const CgroupLimits limits = ReadCgroupLimits(tree.root());
  EXPECT_EQ(limits.cpus, 3.0);
  EXPECT_EQ(limits.memory_bytes, 1000u);
  EXPECT_EQ(limits.available_bytes, 700u);
}

TEST(CgroupTest, Version1WithoutLimits) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "4:memory:/\n3:cpu,cpuacct:/\n")
      .Write("proc/self/mountinfo", kMountsV1)
      .Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
      .Write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
      .Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  ExpectNoLimit(tree);
}

TEST(CgroupTest, AContainerMountsItsOwnGroupAsTheRoot) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "4:memory:/docker/ab/child\n")
      .Write("proc/self/mountinfo",
             "35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n")
      .Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n")
      .Write("sys/fs/cgroup/memory/child/memory.limit_in_bytes", "600\n");
  EXPECT_EQ(ReadCgroupLimits(tree.root()).memory_bytes, 600u);
}

TEST(CgroupTest, AGroupOutsideTheMountLeavesTheMountItself) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/elsewhere\n")
      .Write("proc/self/mountinfo", "29 23 0:26 /docker/ab /cg rw - cgroup2 cgroup2 rw\n")
      .Write("cg/memory.max", "1000\n");
  EXPECT_EQ(ReadCgroupLimits(tree.root()).memory_bytes, 1000u);
}

TEST(CgroupTest, HybridHierarchiesAreBothRead) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "4:memory:/\n0::/\n")
      .Write("proc/self/mountinfo",
             std::string(kMountsV1) + "38 31 0:35 / /cg2 rw - cgroup2 x rw\n")
      .Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n")
      .Write("cg2/cpu.max", "100000 100000\n");
  const CgroupLimits limits = ReadCgroupLimits(tree.root());
  EXPECT_EQ(limits.memory_bytes, 1000u);
  EXPECT_EQ(limits.cpus, 1.0);
}

TEST(CgroupTest, UsageAboveTheLimitLeavesNothing) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/\n")
      .Write("proc/self/mountinfo", kMountV2)
      .Write("sys/fs/cgroup/memory.max", "1000\n")
      .Write("sys/fs/cgroup/memory.current", "1200\n")
      .Write("sys/fs/cgroup/memory.stat", "inactive_file 50\nactive_file\nactive_file x\n");
  EXPECT_EQ(ReadCgroupLimits(tree.root()).available_bytes, 0u);
}

TEST(CgroupTest, GarbageIsNoLimit) {
  FixtureTree tree;
  tree.Write("proc/self/cgroup", "0::/\n::\n:\nx\n1:memory\n2:memory:relative\n4:memory:/\n")
      .Write("proc/self/mountinfo",
             std::string(kMountV2) + kMountsV1 + "1 2 3\n- - - -\n\n1 2 3 4 5 - cgroup\n")
      .Write("sys/fs/cgroup/cpu.max", "\xff\xfe\n")
      .Write("sys/fs/cgroup/memory.max", "a lot\n")
      .Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "-5\n");
  ExpectNoLimit(tree);
  tree.Write("sys/fs/cgroup/cpu.max", "0 0\n").Write("sys/fs/cgroup/memory.max", "");
  ExpectNoLimit(tree);
  tree.Write("sys/fs/cgroup/cpu.max", "100000 0\n").Write("sys/fs/cgroup/memory.max", "1e9\n");
  ExpectNoLimit(tree);
}

}  // namespace
}  // namespace mdsa
