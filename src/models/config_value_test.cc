#include "models/config_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <limits>
#include <string>

namespace mdsa {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr TomlPosition kPlace{3, 5};

TomlValue Value(TomlValue::Data data) { return {std::move(data), kPlace}; }
TomlValue Text(const char* text) { return Value(std::string(text)); }

template <typename T>
void ExpectProblem(const ReadValue<T>& read, std::initializer_list<const char*> parts) {
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().position, kPlace);
  for (const char* part : parts) EXPECT_THAT(read.error().message, HasSubstr(part));
}

TEST(ConfigValueTest, MessagesSayWhatIsThere) {
  ExpectProblem(ReadCount(Text("x\x1b")), {"not the text 'x?'"});
  ExpectProblem(ReadCount(Value(2.5)), {"not 2.5"});
  ExpectProblem(ReadCount(Value(true)), {"not true"});
  ExpectProblem(ReadCount(Value(TomlArray())), {"not an array"});
  ExpectProblem(ReadCount(Value(TomlTable())), {"not a table"});
  ExpectProblem(ReadCount(Value(TomlDate())), {"not a date or time"});
  ExpectProblem(ReadCount(Value(std::int64_t{1} << 31)), {"from 1 to 2147483647, not 2147483648"});
}

TEST(ConfigValueTest, Numbers) {
  EXPECT_EQ(ReadCount(Value(std::int64_t{2147483647})).value(), 2147483647);
  EXPECT_EQ(ReadNumber(Value(std::int64_t{2})).value(), 2.0);
  EXPECT_EQ(ReadNumber(Value(0.5)).value(), 0.5);
  ExpectProblem(ReadNumber(Value(-0.5)), {"from 0 up"});
  ExpectProblem(ReadNumber(Value(std::numeric_limits<double>::quiet_NaN())), {"nan"});
  ExpectProblem(ReadNumber(Value(std::numeric_limits<double>::infinity())), {"inf"});
  ExpectProblem(ReadBool(Value(std::int64_t{1})), {"true or false, not 1"});
}

TEST(ConfigValueTest, Durations) {
  EXPECT_EQ(ReadDuration(Text("500ms")).value(), milliseconds(500));
  EXPECT_EQ(ReadDuration(Text(" 1.5 h ")).value(), std::chrono::minutes(90));
  EXPECT_EQ(ReadDuration(Text("30s")).value(), seconds(30));
  EXPECT_EQ(ReadDuration(Text("10m")).value(), seconds(600));
  EXPECT_EQ(ReadDuration(Text("0s")).value(), seconds(0));
  EXPECT_EQ(ReadDuration(Value(std::int64_t{7})).value(), seconds(7));
  EXPECT_EQ(ReadDuration(Value(0.25)).value(), milliseconds(250));
  EXPECT_EQ(ReadDuration(Value(1e-9)).value(), nanoseconds(1));
  EXPECT_EQ(ReadDuration(Text("876600h")).value(), hours(876'600));
  EXPECT_EQ(ReadDuration(Value(std::int64_t{3'155'760'000})).value(), hours(876'600));
}

TEST(ConfigValueTest, WhatIsNoDuration) {
  for (const char* text : {"", "s", "30", "-1s", "1e3s", "10 min", "1h30m", "876600.1h",
                           "99999999999999999999s", "forever", "1S"}) {
    ExpectProblem(ReadDuration(Text(text)), {"500ms", "100 years"});
  }
  for (double value : {-0.5, 1e300, std::numeric_limits<double>::quiet_NaN(),
                       std::numeric_limits<double>::infinity(), 3'155'760'000.5}) {
    ExpectProblem(ReadDuration(Value(value)), {"number of seconds"});
  }
  ExpectProblem(ReadDuration(Value(std::int64_t{-1})), {"not -1"});
  ExpectProblem(ReadDuration(Value(std::numeric_limits<std::int64_t>::max())), {"100 years"});
  ExpectProblem(ReadDuration(Value(true)), {"not true"});
}

TEST(ConfigValueTest, TimeToLive) {
  EXPECT_EQ(ReadTimeToLive(Text("forever")).value(), std::nullopt);
  EXPECT_EQ(ReadTimeToLive(Text("1s")).value(), seconds(1));
  ExpectProblem(ReadTimeToLive(Text("never")), {"\"forever\"", "'never'"});
}

TEST(ConfigValueTest, Memory) {
  EXPECT_EQ(ReadMemoryLimit(Value(std::int64_t{5})).value(), MemoryLimit::Bytes(5));
  EXPECT_EQ(ReadMemoryLimit(Text("5kB")).value(), MemoryLimit::Bytes(5000));
  ExpectProblem(ReadMemoryLimit(Value(std::int64_t{-5})), {"'-5'"});
  ExpectProblem(ReadMemoryLimit(Value(0.7)), {"70%", "not 0.7"});
}

TEST(ConfigValueTest, Names) {
  EXPECT_EQ(ReadTier(Value(std::int64_t{1})).value(), ModelTier::kTier1);
  EXPECT_EQ(ReadTier(Text("tier3")).value(), ModelTier::kTier3);
  ExpectProblem(ReadTier(Text("3")), {"tier3", "'3'"});
  ExpectProblem(ReadTier(Value(true)), {"not true"});
  EXPECT_EQ(ReadQuantization(Text("int4")).value(), QuantizationType::kInt4);
  ExpectProblem(ReadQuantization(Text("int3\x1b")), {"'int3?'", "int4"});
  EXPECT_EQ(ReadDevice(Text("cuda:1")).value(), "cuda:1");
  ExpectProblem(ReadDevice(Text("gpu")), {"'gpu'", "cuda:N"});
  ExpectProblem(ReadDevice(Value(std::int64_t{0})), {"a text, not 0"});
  EXPECT_EQ(ReadTorchDtype(Text("auto")).value(), "auto");
  ExpectProblem(ReadTorchDtype(Text("half")), {"'half'", "float16"});
}

}  // namespace
}  // namespace mdsa
