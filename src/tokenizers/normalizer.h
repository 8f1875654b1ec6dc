// Normalizers: what happens to text before it is split. One class per `type` of tokenizer.json.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/heap_bytes.h"
#include "mdsa/result.h"
#include "tokenizers/regex.h"

namespace mdsa {

// Immutable; thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // `text` is well-formed UTF-8 before and after.
  virtual void Apply(std::string* text) const = 0;
  // Of the object and all that it holds. Most are small: this much is enough for them.
  virtual std::size_t memory_bytes() const { return kSmallBytes; }

 protected:
  static constexpr std::size_t kSmallBytes = 192;
};

class SequenceNormalizer final : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  void Apply(std::string* text) const override;
  std::size_t memory_bytes() const override;

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

// Character by character, without context: a final sigma stays as it is.
class LowercaseNormalizer final : public Normalizer {
 public:
  void Apply(std::string* text) const override;
};

// Puts a text before every piece that is not empty.
class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  void Apply(std::string* text) const override;

 private:
  std::string prefix_;
};

// Replaces every match of a pattern; the content is taken literally.
class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void Apply(std::string* text) const override;
  std::size_t memory_bytes() const override {
    return kSmallBytes + pattern_.memory_bytes() + HeapBytes(content_);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// Removes white space from the ends.
class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  void Apply(std::string* text) const override;

 private:
  bool left_;
  bool right_;
};

// Drops combining marks; useful after NFD or NFKD.
class StripAccentsNormalizer final : public Normalizer {
 public:
  void Apply(std::string* text) const override;
};

// Spells every byte as a character of the byte-level alphabet.
class ByteLevelNormalizer final : public Normalizer {
 public:
  void Apply(std::string* text) const override;
};

}  // namespace mdsa
