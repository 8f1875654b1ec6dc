#include "formats/toml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace mdsa {
namespace {

using std::string_literals::operator""s;
using testing::HasSubstr;

std::string Repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

void ExpectProblem(std::string_view text, TomlPosition position, std::string_view part) {
  const auto parsed = ParseToml(text);
  ASSERT_FALSE(parsed) << text.substr(0, 100);
  EXPECT_EQ(parsed.error().position, position)
      << parsed.error().position.line << ":" << parsed.error().position.column << " for "
      << text.substr(0, 100);
  EXPECT_THAT(parsed.error().message, HasSubstr(std::string(part)));
}

TEST(TomlTest, ValuesOfEveryType) {
  const auto table = ParseToml(
      "text = 'a'\nwhole = -3\nreal = 2.5\nyes = true\nday = 2024-02-29\nlist = [1, 'b']\n"
      "inner = {x = 1}\n");
  ASSERT_TRUE(table);
  ASSERT_EQ(table->size(), 7u);
  EXPECT_EQ(*(*table)[0].value.As<std::string>(), "a");
  EXPECT_EQ(*(*table)[1].value.As<std::int64_t>(), -3);
  EXPECT_EQ(*(*table)[2].value.As<double>(), 2.5);
  EXPECT_TRUE(*(*table)[3].value.As<bool>());
  EXPECT_NE((*table)[4].value.As<TomlDate>(), nullptr);
  ASSERT_NE((*table)[5].value.As<TomlArray>(), nullptr);
  EXPECT_EQ(*(*table)[5].value.As<TomlArray>()->at(1).As<std::string>(), "b");
  ASSERT_NE((*table)[6].value.As<TomlTable>(), nullptr);
  EXPECT_EQ((*table)[6].value.As<TomlTable>()->front().key, "x");
  EXPECT_EQ((*table)[0].value.As<bool>(), nullptr);
}

TEST(TomlTest, EntriesInTheOrderOfTheFileWithPositions) {
  const auto table = ParseToml("zebra = 1\n\n  et = 2\n[b]\n[[a]]\nx = 1\n[[a]]\n");
  ASSERT_TRUE(table);
  ASSERT_EQ(table->size(), 4u);
  EXPECT_EQ((*table)[0].key, "zebra");
  EXPECT_EQ((*table)[1].key, "et");
  EXPECT_EQ((*table)[1].position, (TomlPosition{3, 3}));
  EXPECT_EQ((*table)[1].value.position, (TomlPosition{3, 8}));
  EXPECT_EQ((*table)[2].key, "b");
  EXPECT_EQ((*table)[3].key, "a");
  const TomlArray& tables = *(*table)[3].value.As<TomlArray>();
  EXPECT_EQ(tables.at(0).position, (TomlPosition{5, 1}));
  EXPECT_EQ(tables.at(1).position, (TomlPosition{7, 1}));
}

TEST(TomlTest, ProblemsHaveTheirPlace) {
  ExpectProblem("a = 1\nb = ", {2, 5}, "");
  ExpectProblem("a = 1\nb = \"\xff\"\n", {2, 6}, "UTF-8");
  ExpectProblem("a = 'x\xc3", {1, 7}, "UTF-8");
  ExpectProblem("a = 99999999999999999999", {1, 25}, "64 bits");
  ExpectProblem("a\0b = 1"s, {1, 2}, "");
  ExpectProblem("\u00e4\n# \u00e4\xc3\n", {2, 4}, "UTF-8");
  const auto twice = ParseToml("a = 1\na = 2\n");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().position.line, 2u);
  EXPECT_THAT(twice.error().message, HasSubstr("redefine"));
}

TEST(TomlTest, ProblemsArePrintable) {
  const auto parsed = ParseToml("\"\\u001b\u202e\" = 1\n\"\\u001b\u202e\" = 2\n");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().message.find('\x1b'), std::string::npos);
  EXPECT_EQ(parsed.error().message.find("\u202e"), std::string::npos);
}

// toml++ 3.3 stops the process at these where assertions are on.
TEST(TomlTest, BrokenHeaders) {
  for (const char* text : {"[[[", "[[[a]]]", "[=]", "[#", "[&", "[\n]", "[a.]", "[a.[b]]", "["}) {
    EXPECT_FALSE(ParseToml(text)) << text;
  }
}

// toml++ 3.3 runs into undefined behaviour at these.
TEST(TomlTest, ArabicPresentationForms) {
  for (const char* text :
       {"\ufefe", "a = 1 \ufb50", "a\ufdf2 = 1", "a = \"\"\"\\ \n\ufefe\"\"\"\ufefe"}) {
    EXPECT_FALSE(ParseToml(text)) << text;
  }
  const auto table = ParseToml("a = \"\"\"\\\n  \ufdf2\"\"\"\n");
  ASSERT_TRUE(table);
  EXPECT_EQ(*table->front().value.As<std::string>(), "\ufdf2");
}

TEST(TomlTest, DepthIsLimited) {
  const int kMany = 100'000;
  ExpectProblem("a = " + Repeated("[", kMany), {1, 21}, "depth");
  EXPECT_FALSE(ParseToml(Repeated("[", kMany)));
  EXPECT_FALSE(ParseToml("a = " + Repeated("{a = ", kMany)));
  for (const std::string part : {"a.", "'.'.", "\"\\\"\". ", "a\t."}) {
    const std::string key = Repeated(part, kMany) + "a";
    EXPECT_FALSE(ParseToml(key + " = 1")) << part;
    EXPECT_FALSE(ParseToml("[" + key + "]")) << part;
    EXPECT_FALSE(ParseToml("[[" + key + "]]")) << part;
    EXPECT_FALSE(ParseToml("x = {" + key + " = 1}")) << part;
    EXPECT_FALSE(ParseToml("x = '''\n' ''''' # ' \"\n" + key + " = 1")) << part;
    EXPECT_FALSE(ParseToml("x = \"\"\"\\\"\"\"\"\ny = ''\nz = \"\\\\\"\n" + key + " = 1")) << part;
  }
  ExpectProblem("b = 1\nc = '.'\n'\u00e4'." + Repeated("a.", kMany), {3, 36}, "dotted parts");
  EXPECT_TRUE(ParseToml(Repeated("a.", 16) + "a = 1"));
}

TEST(TomlTest, DotsInStringsAndCommentsAreText) {
  const std::string dots(1000, '.');
  EXPECT_TRUE(ParseToml("a = '" + dots + "' # " + dots + "\nb = \"\"\"\n" + dots + "\n\"\"\"\n'" +
                        dots + "' = '''" + dots + "'''''\nc = \"\\\"" + dots + "\"\n"));
  EXPECT_TRUE(ParseToml("a = [" + Repeated("1.5, ", 1000) + "]"));
}

}  // namespace
}  // namespace mdsa
