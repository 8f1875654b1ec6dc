#include "tokenizers/normalizer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tokenizers/bert_normalizer.h"
#include "tokenizers/unicode_form.h"

namespace mdsa {
namespace {

std::string Apply(const Normalizer& normalizer, std::string text) {
  normalizer.Apply(&text);
  return text;
}

std::string Bert(std::string text, const BertNormalizerOptions& options = {}) {
  return Apply(BertNormalizer(options), std::move(text));
}

TEST(Normalizer, Simple) {
  EXPECT_EQ(Apply(LowercaseNormalizer(), "A\u0130\u03a3"), "ai\u0307\u03c3");
  EXPECT_EQ(Apply(PrependNormalizer("_"), "a"), "_a");
  EXPECT_EQ(Apply(PrependNormalizer("_"), ""), "");
  EXPECT_EQ(Apply(StripNormalizer(true, false), "\u3000 a "), "a ");
  EXPECT_EQ(Apply(StripNormalizer(false, true), " a\u2028"), " a");
  EXPECT_EQ(Apply(StripNormalizer(true, true), " \n "), "");
  EXPECT_EQ(Apply(StripAccentsNormalizer(), "e\u0301\u00e9"), "e\u00e9");
  EXPECT_EQ(Apply(ReplaceNormalizer(Pattern::FromString(" "), "__"), "a b "), "a__b__");
  EXPECT_EQ(Apply(ByteLevelNormalizer(), "\u00e9 "), "\u00c3\u00a9\u0120");
}

TEST(UnicodeNormalizer, Forms) {
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfc), "e\u0301"), "\u00e9");
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfd), "\u00e9"), "e\u0301");
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfkc), "\ufb01"), "fi");
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfkd), "\u1e9b"), "s\u0307");
}

TEST(UnicodeNormalizer, LeavesCharactersYoungerThanUnicode9) {
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfkc), "\u32ff"), "\u32ff");  // Unicode 12.1
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfd), "\U00011938"), "\U00011938");
}

TEST(UnicodeNormalizer, LongRunsOfMarksAreInCanonicalOrder) {
  std::string run = "a", decomposed = "a";
  // Classes 230, 220, 129 + 130, 8 (in compatibility forms), 230 + 230.
  for (int i = 0; i < 40; ++i) run += "\u0301\u0323\u0f73\uff9e\u0344";
  for (int i = 0; i < 40; ++i) decomposed += "\u3099";
  for (int i = 0; i < 40; ++i) decomposed += "\u0f71";
  for (int i = 0; i < 40; ++i) decomposed += "\u0f72";
  for (int i = 0; i < 40; ++i) decomposed += "\u0323";
  for (int i = 0; i < 40; ++i) decomposed += "\u0301\u0308\u0301";
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfkd), run), decomposed);
  EXPECT_EQ(Apply(UnicodeNormalizer(UnicodeForm::kNfkc), run),
            Apply(UnicodeNormalizer(UnicodeForm::kNfkc), decomposed));
}

double Seconds(const Normalizer& normalizer, const std::string& text) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(Apply(normalizer, text).empty());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST(UnicodeNormalizer, TimeIsLinearInARunOfMarks) {
  std::string marks = "a", plain;
  while (marks.size() < 1'000'000) marks += "\u0301\u0323";
  while (plain.size() < marks.size()) plain += "\u00e9";
  const UnicodeNormalizer normalizer(UnicodeForm::kNfc);
  // Insertion would take ten thousand times as long.
  EXPECT_LT(Seconds(normalizer, marks), 0.1 + 100 * Seconds(normalizer, plain));
}

TEST(BertNormalizer, CleansSpacesAndFolds) {
  EXPECT_EQ(Bert(std::string("H\0\u00c9\tl\u00ad\u3000o\ufffd", 16)), "he l o");
  EXPECT_EQ(Bert("a\u6f22b"), "a \u6f22 b");
  EXPECT_EQ(Bert("\u3042\uac00"), "\u3042\u1100\u1161");  // no spaces, but NFD
  EXPECT_EQ(Bert("a\u0000\u0301"), "a");
}

TEST(BertNormalizer, Options) {
  BertNormalizerOptions cased{.lowercase = false};
  EXPECT_EQ(Bert("\u00c9A", cased), "\u00c9A");
  cased.strip_accents = true;
  EXPECT_EQ(Bert("\u00c9A", cased), "EA");
  EXPECT_EQ(Bert("\u00c9", {.strip_accents = false}), "\u00e9");
  EXPECT_EQ(Bert("\u6f22\t", {.clean_text = false, .handle_chinese_chars = false}), "\u6f22\t");
  EXPECT_EQ(Bert(std::string("a\0b", 3), {.clean_text = false}), std::string("a\0b", 3));
}

}  // namespace
}  // namespace mdsa
