#include "formats/json.h"

#include <gtest/gtest.h>

#include "formats/printable.h"
#include "formats/test_support.h"

namespace mdsa {
namespace {

using test::ExpectError;

class JsonTest : public testing::Test {
 protected:
  JsonObject Object(std::string_view text) {
    auto document = JsonDocument::Parse(text);
    EXPECT_TRUE(document) << document.error().ToString();
    document_.emplace(*std::move(document));
    return *document_->RootObject();
  }
  std::optional<JsonDocument> document_;
};

TEST_F(JsonTest, AbsentAndNullAreTheSame) {
  const JsonObject object = Object(R"({"a":null})");
  EXPECT_EQ(*object.Integer("a", 0, 9), std::nullopt);
  EXPECT_EQ(*object.Integer("b", 0, 9), std::nullopt);
  EXPECT_EQ(*object.BoolOr("a", true), true);
  EXPECT_EQ(*object.String("a"), std::nullopt);
}

TEST_F(JsonTest, LastOfEqualKeysCounts) {
  const JsonObject object = Object(R"({"a":1,"a":2})");
  EXPECT_EQ(*object.Integer("a", 0, 9), 2);
  EXPECT_EQ(object.DuplicateKey(), "a");
}

TEST_F(JsonTest, IntegersMustBeIntegersWithinBounds) {
  const JsonObject object =
      Object(R"({"float":7.0,"text":"7","big":18446744073709551615,"ok":7,"low":-1,"flag":true})");
  EXPECT_EQ(*object.Integer("ok", 0, 9), 7);
  ExpectError(object.Integer("float", 0, 9), ErrorCode::kInvalidFormat,
              {"key 'float'", "expected an integer, found a floating-point number"});
  ExpectError(object.Integer("text", 0, 9), ErrorCode::kInvalidFormat, {"found a string"});
  ExpectError(object.Integer("flag", 0, 9), ErrorCode::kInvalidFormat, {"found a boolean"});
  ExpectError(object.Integer("big", 0, 9), ErrorCode::kInvalidFormat,
              {"18446744073709551615 is outside 0..9"});
  ExpectError(object.Integer("low", 0, 9), ErrorCode::kInvalidFormat, {"-1 is outside 0..9"});
}

TEST_F(JsonTest, NumbersTakeIntegersToo) {
  const JsonObject object = Object(R"({"i":3,"f":0.5,"t":"x"})");
  EXPECT_EQ(*object.Number("i"), 3.0);
  EXPECT_EQ(*object.Number("f"), 0.5);
  ExpectError(object.Number("t"), ErrorCode::kInvalidFormat, {"expected a number"});
}

TEST_F(JsonTest, NestedKeysAreNamedWithTheirPath) {
  const auto inner = Object(R"({"outer":{"n":"x"}})").Object("outer");
  ASSERT_TRUE(inner && *inner);
  ExpectError((*inner)->Integer("n", 0, 9), ErrorCode::kInvalidFormat, {"key 'outer.n'"});
}

TEST_F(JsonTest, RefusesWhatIsNotOneValue) {
  for (std::string_view text : {"", "{", "{} x", "{\"a\":NaN}", "{\"a\":1e999}", "\xff"}) {
    ExpectError(JsonDocument::Parse(text), ErrorCode::kInvalidFormat, {"not valid JSON"});
  }
}

// Found by fuzzing: the parser below copied zero bytes from a null pointer.
TEST_F(JsonTest, TextWithoutStorageIsEmptyText) {
  ExpectError(JsonDocument::Parse(std::string_view()), ErrorCode::kInvalidFormat,
              {"not valid JSON", "empty"});
}

TEST(PrintableTest, CutsLongNamesBetweenCharacters) {
  EXPECT_EQ(Printable("w"), "'w'");
  EXPECT_EQ(Printable(std::string(101, 'x')), "'" + std::string(100, 'x') + "...'");
  EXPECT_EQ(Printable(std::string(99, 'x') + "\xc3\xa9"), "'" + std::string(99, 'x') + "...'");
  EXPECT_EQ(Printable("caf\xc3\xa9"), "'caf\xc3\xa9'");
}

TEST(PrintableTest, ReplacesControlCharactersAndIllFormedBytes) {
  EXPECT_EQ(Printable("a\x1b[0m\n"), "'a?[0m?'");
  EXPECT_EQ(Printable("a\xff"), "'a?'");
}

}  // namespace
}  // namespace mdsa
