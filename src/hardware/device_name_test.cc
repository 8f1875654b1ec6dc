#include "hardware/device_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "mdsa/hardware.h"

namespace mdsa {
namespace {

using ::testing::HasSubstr;

HardwareInfo WithCuda(int devices) {
  HardwareInfo hardware;
  for (int id = 0; id < devices; ++id) hardware.cuda_devices.emplace_back().id = id;
  return hardware;
}

TEST(DeviceNameTest, ReadsEveryForm) {
  EXPECT_EQ(ParseDeviceName("auto")->kind, DeviceName::Kind::kAuto);
  EXPECT_EQ(ParseDeviceName("cpu")->kind, DeviceName::Kind::kCpu);
  EXPECT_EQ(ParseDeviceName("mps")->kind, DeviceName::Kind::kMps);
  EXPECT_EQ(ParseDeviceName("cuda")->kind, DeviceName::Kind::kCuda);
  EXPECT_EQ(ParseDeviceName("cuda:12")->index, 12);
}

TEST(DeviceNameTest, RefusesEverythingElse) {
  for (const char* name :
       {"", "CPU", "cuda:", "cuda:-1", "cuda:1x", "cuda:99999999999", "cuda: 1", "cpu:0", "gpu"}) {
    const auto device = ParseDeviceName(name);
    ASSERT_FALSE(device) << name;
    EXPECT_EQ(device.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(device.error().ToString(), HasSubstr("cuda:N"));
  }
}

TEST(ResolveDeviceTest, ComputesOnTheCpu) {
  EXPECT_EQ(ResolveDevice("auto", WithCuda(0)).value(), "cpu");
  EXPECT_EQ(ResolveDevice("cpu", WithCuda(1)).value(), "cpu");
  // A GPU that this build cannot compute on is not the best device for "auto".
  EXPECT_EQ(ResolveDevice("auto", WithCuda(1)).value(), "cpu");
}

TEST(ResolveDeviceTest, SaysWhyADeviceIsNotSupportedAndWhatIs) {
  const auto message = [](const char* device, const HardwareInfo& hardware) {
    const auto resolved = ResolveDevice(device, hardware);
    EXPECT_FALSE(resolved);
    EXPECT_EQ(resolved.error().code(), ErrorCode::kUnsupported);
    EXPECT_THAT(resolved.error().ToString(), HasSubstr("supported are \"cpu\""));
    return resolved.error().ToString();
  };
  EXPECT_THAT(message("cuda", WithCuda(0)), HasSubstr("no CUDA device"));
  EXPECT_THAT(message("cuda:2", WithCuda(2)), HasSubstr("are 0, 1;"));
  EXPECT_THAT(message("cuda:1", WithCuda(2)), HasSubstr("no CUDA kernels"));
  HardwareInfo sparse = WithCuda(2);
  sparse.cuda_devices[0].id = 1;
  sparse.cuda_devices[1].id = 3;
  EXPECT_THAT(message("cuda:0", sparse), HasSubstr("are 1, 3;"));
  EXPECT_THAT(message("cuda:3", sparse), HasSubstr("no CUDA kernels"));
  EXPECT_THAT(message("cuda", sparse), HasSubstr("no CUDA kernels"));
  EXPECT_THAT(message("mps", WithCuda(0)), HasSubstr("no Metal device"));
  HardwareInfo mac;
  mac.has_mps = true;
  EXPECT_THAT(message("mps", mac), HasSubstr("no Metal kernels"));
}

TEST(ResolveDeviceTest, MalformedNameIsAnInvalidArgument) {
  EXPECT_EQ(ResolveDevice("tpu", {}).error().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace mdsa
