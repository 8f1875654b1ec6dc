// The normalizer of BERT: cleaning, spaces around ideographs, accents off, lower case.
#pragma once

#include <optional>
#include <string>

#include "tokenizers/normalizer.h"

namespace mdsa {

struct BertNormalizerOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  std::optional<bool> strip_accents = std::nullopt;  // absent: as `lowercase`
  bool lowercase = true;
};

class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(const BertNormalizerOptions& options);
  void Apply(std::string* text) const override;

 private:
  // Cleaning and spacing of one character that is not ASCII.
  void AppendCleaned(char32_t c, std::string* out) const;
  // Accents and case of a run without ASCII characters. In ASCII both are a table look-up, and no
  // normalization crosses from a run into ASCII before it because marks are dropped.
  void FinishRun(std::string* run) const;

  bool clean_;
  bool space_ideographs_;
  bool strip_accents_;
  bool lowercase_;
  char ascii_[128];  // what an ASCII character becomes; '\0': dropped
};

}  // namespace mdsa
