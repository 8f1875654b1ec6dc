// For tests of the kernels: each case on every target of the machine, and scratch memory.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "kernels/dispatch.h"

namespace mdsa::kernels {

// Puts the active target back.
class TargetRestorer {
 public:
  TargetRestorer() = default;
  ~TargetRestorer() { EXPECT_TRUE(SelectTarget(name_)); }
  TargetRestorer(const TargetRestorer&) = delete;
  TargetRestorer& operator=(const TargetRestorer&) = delete;

 private:
  std::string name_{ActiveTarget()};
};

// Runs each case under the target named by the parameter.
class TargetTest : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override { ASSERT_TRUE(SelectTarget(GetParam())); }

 private:
  TargetRestorer restorer_;
};

#define MDSA_INSTANTIATE_FOR_TARGETS(test)                                                    \
  INSTANTIATE_TEST_SUITE_P(                                                                   \
      Targets, test, testing::ValuesIn(SupportedTargets().begin(), SupportedTargets().end()), \
      [](const auto& param) { return std::string(param.param); })

// Exactly `bytes` bytes, so that a sanitizer sees any access behind them; filled, so that results
// cannot rest on zeros.
class TestScratch {
 public:
  explicit TestScratch(std::size_t bytes)
      : memory_(static_cast<std::byte*>(::operator new(bytes, kAlignment))), bytes_(bytes) {
    for (std::byte& byte : span()) byte = std::byte{0xff};
  }
  ~TestScratch() { ::operator delete(memory_, kAlignment); }
  TestScratch(const TestScratch&) = delete;
  TestScratch& operator=(const TestScratch&) = delete;

  std::span<std::byte> span() const { return {memory_, bytes_}; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  std::byte* memory_;
  std::size_t bytes_;
};

}  // namespace mdsa::kernels
