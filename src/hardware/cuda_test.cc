#include "hardware/cuda.h"

#include <gtest/gtest.h>

namespace mdsa {
namespace {

TEST(CudaTest, ListsTheDevicesThatAnswer) {
  const std::vector<CudaDevice> devices = DetectCudaDevices(MDSA_FAKE_NVML);
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].id, 0);
  EXPECT_EQ(devices[0].name, "Fake A");
  EXPECT_EQ(devices[0].total_bytes, 1000u);
  EXPECT_EQ(devices[0].free_bytes, 600u);
  EXPECT_EQ(devices[0].compute_major, 9);
  EXPECT_EQ(devices[0].compute_minor, 0);
  EXPECT_EQ(devices[1].id, 2);  // as the driver numbers it
  EXPECT_EQ(devices[1].name, "Fake C");
  EXPECT_EQ(devices[1].total_bytes, 3000u);
}

TEST(CudaTest, NoLibraryMeansNoDevice) {
  EXPECT_TRUE(DetectCudaDevices("libmdsa-no-such-library.so").empty());
}

TEST(CudaTest, LibraryWithoutTheFunctionsMeansNoDevice) {
  EXPECT_TRUE(DetectCudaDevices("libc.so.6").empty());
}

}  // namespace
}  // namespace mdsa
