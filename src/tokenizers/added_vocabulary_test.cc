#include "tokenizers/added_vocabulary.h"

#include <gtest/gtest.h>

#include "tokenizers/test_util.h"

namespace mdsa {
namespace {

class AddedVocabularyTest : public testing::Test {
 protected:
  void Add(AddedToken token) {
    ASSERT_TRUE(added_.Add(token, model_, normalizer_).has_value());
    added_.Finish();
  }
  // Pieces in order; added tokens as <id>, the rest in brackets.
  std::string Cut(std::string_view text) const {
    PieceList list;
    added_.Extract(text, normalizer_, &list);
    std::string out;
    for (const Piece& piece : list.pieces) {
      if (piece.id == kNoToken) {
        out.append("[").append(list.Text(piece)).append("]");
      } else {
        out.append("<").append(std::to_string(piece.id)).append(">");
      }
    }
    return out;
  }

  LowercaseNormalizer lowercase_;
  const Normalizer* normalizer_ = &lowercase_;
  Vocabulary model_ = MakeVocabulary({"a", "<s>", "c"});
  AddedVocabulary added_;
};

TEST_F(AddedVocabularyTest, IdsOfTheModelOrTheNextOnes) {
  Add({"<s>", false, false, false, false, true});
  Add({"<x>"});
  Add({"<y>"});
  Add({"<x>"});
  EXPECT_EQ(added_.Find("<s>"), 1);
  EXPECT_EQ(added_.Find("<x>"), 3);
  EXPECT_EQ(added_.Find("<y>"), 4);
  EXPECT_EQ(added_.id_limit(), 5);
  EXPECT_TRUE(added_.IsSpecial("<s>"));
  EXPECT_FALSE(added_.IsSpecial("<x>"));
}

TEST_F(AddedVocabularyTest, NormalizedOnesMatchInTheNormalizedText) {
  Add({.content = "[T]"});
  Add({.content = "[R]", .normalized = false});
  EXPECT_EQ(Cut("A[t]B[T]C[r]D[R]E"), "[a]<3>[b]<3>[c[r]d]<4>[e]");
  EXPECT_EQ(added_.Token(3), "[t]");
}

TEST_F(AddedVocabularyTest, SingleWord) {
  Add({.content = "ab", .single_word = true});
  EXPECT_EQ(Cut("ab xab ab_ (ab)"), "<3>[ xab ab_ (]<3>[)]");
}

TEST_F(AddedVocabularyTest, StripTakesWhiteSpace) {
  Add({.content = "<l>", .lstrip = true});
  Add({.content = "<r>", .rstrip = true});
  EXPECT_EQ(Cut("a \u3000<l> b <r> \n<l>"), "[a]<3>[ b ]<4><3>");
}

TEST_F(AddedVocabularyTest, TooLongIsAnError) {
  EXPECT_EQ(added_.Add({.content = std::string(5000, 'a')}, model_, nullptr).error().code(),
            ErrorCode::kUnsupported);
}

TEST_F(AddedVocabularyTest, EmptyTextHasNoPieces) { EXPECT_EQ(Cut(""), ""); }

}  // namespace
}  // namespace mdsa
