#include "mdsa/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "formats/test_support.h"

namespace mdsa {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::string_literals::operator""s;
using test::ExpectError;

// Ending with a line feed, as in the middle of a file.
void ExpectRefused(const std::string& text, std::initializer_list<std::string_view> parts) {
  ExpectError(ConfigFile::Parse(text), ErrorCode::kInvalidArgument, parts);
}

constexpr const char* kModel = "[[model]]\nid = 'a'\nsource = 'org/name'\n";

TEST(ConfigFileTest, EmptyTextIsTheDefaults) {
  const auto file = ConfigFile::Parse("");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->residency.max_models, ResidencyOptions().max_models);
  EXPECT_EQ(file->residency.max_memory, std::nullopt);
  EXPECT_EQ(file->cache_dir, std::nullopt);
  EXPECT_TRUE(file->models.empty());
}

TEST(ConfigFileTest, Limits) {
  const auto file = ConfigFile::Parse(
      "[limits]\nmax_models = 3\nmax_memory = '70%'\n"
      "max_device_memory = { 'cuda:0' = '6GB', 'mps' = 5 }\ntime_to_live = '10m'\n"
      "min_residency = 0\nmax_queue_wait = 1.5\nwait_timeout = '5m'\nretry_delay = '250ms'\n"
      "max_retry_delay = '2m'\nreport_waits_after = '20s'\n[store]\ncache_dir = 'models'\n");
  ASSERT_TRUE(file) << file.error().ToString();
  const ResidencyOptions& limits = file->residency;
  EXPECT_EQ(limits.max_models, 3);
  EXPECT_EQ(limits.max_memory, MemoryLimit::Share(0.7).value());
  EXPECT_THAT(
      limits.max_device_memory,
      testing::ElementsAre(testing::Pair("cuda:0", 6'000'000'000u), testing::Pair("mps", 5)));
  EXPECT_EQ(limits.time_to_live, minutes(10));
  EXPECT_EQ(limits.min_residency, seconds(0));
  EXPECT_EQ(limits.max_queue_wait, milliseconds(1500));
  EXPECT_EQ(limits.wait_timeout, minutes(5));
  EXPECT_EQ(limits.retry_delay, milliseconds(250));
  EXPECT_EQ(limits.max_retry_delay, minutes(2));
  EXPECT_EQ(limits.report_waits_after, seconds(20));
  EXPECT_EQ(file->cache_dir, "models");
}

TEST(ConfigFileTest, LimitsInOtherSpellings) {
  const auto file = ConfigFile::Parse(
      "limits.max_memory = 4096\nlimits.time_to_live = 'forever'\n"
      "[limits.max_device_memory]\n\"cuda:1\" = 7\n");
  ASSERT_TRUE(file) << file.error().ToString();
  EXPECT_EQ(file->residency.max_memory, MemoryLimit::Bytes(4096));
  EXPECT_EQ(file->residency.time_to_live, std::nullopt);
  EXPECT_EQ(file->residency.max_device_memory.at("cuda:1"), 7u);
}

TEST(ConfigFileTest, Models) {
  const auto file = ConfigFile::Parse(
      "[[model]]\nid = 'b'\nsource = './models/minilm'\nquantization = 'int8'\ndevice = 'cpu'\n"
      "max_length = 64\nbatch_size = 8\ntorch_dtype = 'float16'\ntemperature = 0\npin = true\n"
      "time_to_live = 'forever'\npreload = true\nrequired = true\nwarm_up = \"hello\\n\"\n" +
      std::string(kModel));
  ASSERT_TRUE(file) << file.error().ToString();
  ASSERT_EQ(file->models.size(), 2u);
  const DeclaredModel& all = file->models[0];
  EXPECT_EQ(all.id, "b");
  EXPECT_EQ(all.config.model_name, "./models/minilm");
  EXPECT_EQ(all.config.quantization, QuantizationType::kInt8);
  EXPECT_EQ(all.config.device, "cpu");
  EXPECT_EQ(all.config.max_length, 64);
  EXPECT_EQ(all.config.batch_size, 8);
  EXPECT_EQ(all.config.torch_dtype, "float16");
  EXPECT_EQ(all.config.temperature, 0.0);
  EXPECT_TRUE(all.settings.pinned);
  EXPECT_EQ(all.settings.time_to_live, ModelSettings::kForever);
  EXPECT_TRUE(all.preload);
  EXPECT_TRUE(all.required);
  EXPECT_EQ(all.warm_up, "hello\n");
  const DeclaredModel& least = file->models[1];
  EXPECT_EQ(least.id, "a");
  ModelConfig expected;
  expected.model_name = "org/name";
  EXPECT_EQ(least.config, expected);
  EXPECT_EQ(least.settings, ModelSettings());
  EXPECT_FALSE(least.preload || least.required);
}

TEST(ConfigFileTest, TheTierIsAPresetThatKeysChange) {
  const auto file = ConfigFile::Parse(
      kModel + "max_length = 64\ntier = 1\n[[model]]\nid = 'b'\nsource = 'm'\ntier = 'tier2'\n"s +
      "[[model]]\nid = 'c'\nsource = 'm'\ntier = 3\nquantization = 'none'\n");
  ASSERT_TRUE(file) << file.error().ToString();
  ModelConfig first = ModelConfig::ForTier1("org/name");
  first.max_length = 64;
  EXPECT_EQ(file->models[0].config, first);
  EXPECT_EQ(file->models[1].config, ModelConfig::ForTier2("m"));
  ModelConfig third = ModelConfig::ForTier3("m");
  third.quantization = QuantizationType::kNone;
  EXPECT_EQ(file->models[2].config, third);
}

TEST(ConfigFileTest, UnknownKeys) {
  ExpectRefused("[limit]\n", {"mdsa.toml:1:2: unknown key 'limit'; did you mean 'limits'?"});
  ExpectRefused("max_models = 3\n",
                {"1:1: unknown key 'max_models'; known are limits, store, model"});
  ExpectRefused("[limits]\n  max_modells = 3\n",
                {"2:3: unknown key 'max_modells' in [limits]; did you mean 'max_models'?"});
  ExpectRefused("[store]\nfolder = 'x'\n",
                {"2:1: unknown key 'folder' in [store]; known are cache_dir"});
  ExpectRefused(kModel + "pinned = true\n"s,
                {"4:1", "'pinned' in [[model]]; known are id, source"});
  ExpectRefused("[model.extra]\n", {"1:1", "[[model]]"});
  ExpectRefused("[limits]\n\"a\\u001b\\n\" = 3\n", {"unknown key 'a?\?'"});
}

TEST(ConfigFileTest, WrongShapes) {
  ExpectRefused("limits = 3\n", {"1:10: limits: must be a table, not 3"});
  ExpectRefused("store = []\n", {"1:9: store: must be a table, not an array"});
  ExpectRefused("[model]\nid = 'a'\n",
                {"1:1: model: must be tables, each headed by [[model]], not a table"});
  ExpectRefused("model = [3]\n", {"1:10: model: must be a table, not 3"});
  ExpectRefused("[[limits]]\n", {"1:1: limits: must be a table, not an array"});
  ExpectRefused("[limits]\nmax_device_memory = '6GB'\n",
                {"2:21: max_device_memory: must be a table"});
}

TEST(ConfigFileTest, ValuesOutOfRange) {
  ExpectRefused("[limits]\nmax_models = 0\n",
                {"2:14: max_models: must be a whole number of at least 1, not 0"});
  ExpectRefused("[limits]\nmax_memory = '8 GX'\n", {"2:14: max_memory: '8 GX' is no limit"});
  ExpectRefused("[limits]\nmax_device_memory = { 'cuda:0' = '50%' }\n",
                {"2:34: max_device_memory: must be absolute", "'50%'"});
  ExpectRefused("[limits]\nmax_device_memory = { cpu = 5 }\n", {"2:23", "'cpu'", "max_memory"});
  ExpectRefused("[limits]\nreport_waits_after = 0\n", {"2:22: report_waits_after: must be more"});
  ExpectRefused(kModel + "max_length = 0\n"s, {"4:14: max_length: must be a whole number from 1"});
  ExpectRefused(kModel + "tier = 4\n"s, {"4:8: tier: must be 1, 2, 3", "not 4"});
}

TEST(ConfigFileTest, ValuesThatDoNotGoTogether) {
  ExpectRefused("[limits]\nmax_retry_delay = '1s'\nretry_delay = '2s'\n",
                {"2:19: max_retry_delay: must be at least retry_delay, which is 2 s, not 1 s"});
  ExpectRefused("[limits]\nretry_delay = '2m'\n", {"2:15: max_retry_delay: must be at least"});
}

TEST(ConfigFileTest, ModelsNeedAnIdOfTheirOwnAndASource) {
  ExpectRefused("\n[[model]]\nsource = 'x'\n", {"2:1: the key 'id' is missing in [[model]]"});
  ExpectRefused("[[model]]\nid = 'x'\n", {"1:1: the key 'source' is missing"});
  ExpectRefused(kModel + "[[model]]\nsource = 'x'\nid = 'a'\n"s,
                {"6:6: id: must be unique, but 'a' is the id of the model of line 2 too"});
  ExpectRefused("[[model]]\nid = ''\nsource = 'x'\n",
                {"2:6: id: must be a text that is not empty"});
  ExpectRefused("[[model]]\nid = 'x'\nsource = \"a\\u0000\"\n", {"3:10: source:", "'a?'"});
}

// Tables may stand in any order, and a table of limits at the end.
TEST(ConfigFileTest, TheFirstProblemOfTheFileIsTold) {
  ExpectRefused("[[model]]\nid = 3\n[limits]\nmax_models = 0\n",
                {"mdsa.toml:1:1: the key 'source'"});
  ExpectRefused("[[model]]\nsource = 'x'\nid = 3\n[limits]\nmax_models = 0\n",
                {"mdsa.toml:3:6: id"});
  ExpectRefused("[limits]\n[store]\nbad = 1\n[limits.max_device_memory]\ncpu = 3\n[[model]]\n",
                {"mdsa.toml:3:1: unknown key 'bad'"});
}

TEST(ConfigFileTest, TextThatIsNoToml) {
  ExpectRefused("[limits]\nmax_models = \n", {"mdsa.toml:2:"});
  ExpectRefused("[limits]\nmax_models = 3\nmax_models = 4\n", {"mdsa.toml:3:", "redefine"});
  ExpectRefused("[limits]\n# \xff\n", {"mdsa.toml:2:3: is no UTF-8"});
  ExpectRefused(std::string(100'000, '['), {"mdsa.toml:1:"});
  ExpectRefused("a = " + std::string(100'000, '['), {"mdsa.toml:1:"});
  ExpectError(ConfigFile::Parse("x", "conf/my.toml"), ErrorCode::kInvalidArgument,
              {"conf/my.toml:1:"});
}

TEST(ConfigFileTest, SizeIsLimited) {
  EXPECT_TRUE(ConfigFile::Parse(std::string(1 << 20, '\n')));
  ExpectRefused(std::string((1 << 20) + 1, '\n'),
                {"mdsa.toml: has 1048577 bytes; at most 1048576"});
}

class ConfigFileReadTest : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
};

TEST_F(ConfigFileReadTest, PathsAreRelativeToTheFile) {
  const char* home = std::getenv("HOME");
  ASSERT_NE(home, nullptr);
  std::string text = "[store]\ncache_dir = 'models'\n";
  for (const char* source : {"./a", "../b", "org/name", "/abs", "~/c", ".", "././/d", "..", ".e"}) {
    text += "[[model]]\nid = '"s + source + "'\nsource = '" + source + "'\n";
  }
  const auto path = folder_.Write("conf/mdsa.toml", text);
  const auto file = ConfigFile::Read(path);
  ASSERT_TRUE(file) << file.error().ToString();
  const std::string conf = path.parent_path().string();
  EXPECT_EQ(file->cache_dir, conf + "/models");
  std::vector<std::string> sources;
  for (const DeclaredModel& model : file->models) sources.push_back(model.config.model_name);
  EXPECT_THAT(sources, testing::ElementsAre(conf + "/a", conf + "/../b", "org/name", "/abs",
                                            home + "/c"s, conf, conf + "/d", conf + "/..", ".e"));
}

TEST_F(ConfigFileReadTest, CacheDirMayBeAbsoluteOrAtHome) {
  const auto absolute = ConfigFile::Read(folder_.Write("a.toml", "[store]\ncache_dir = '/x/y'\n"));
  EXPECT_EQ(absolute.value().cache_dir, "/x/y");
  const auto at_home = ConfigFile::Read(folder_.Write("b.toml", "[store]\ncache_dir = '~/y'\n"));
  EXPECT_EQ(at_home.value().cache_dir, std::getenv("HOME") + "/y"s);
}

TEST_F(ConfigFileReadTest, ErrorsNameTheFile) {
  const auto path = folder_.Write("bad.toml", "[limits]\nx = 1\n");
  ExpectError(ConfigFile::Read(path), ErrorCode::kInvalidArgument,
              {path.string() + ":2:1: unknown"});
  ExpectError(ConfigFile::Read(folder_.path() / "none.toml"), ErrorCode::kNotFound, {"none.toml"});
  ExpectError(ConfigFile::Read(folder_.path()), ErrorCode::kIo, {folder_.path().string()});
  const auto large = folder_.Write("large.toml", std::string((1 << 20) + 1, '\n'));
  ExpectError(ConfigFile::Read(large), ErrorCode::kInvalidArgument, {"large.toml", "1048576"});
}

}  // namespace
}  // namespace mdsa
