// How long a text can get. Steps of a tokenizer.json multiply: a file of 1 KB with a dozen
// replacements of one character by ten would turn one page into more memory than there is.
#include <algorithm>

#include "tokenizers/component_json.h"

namespace mdsa {
namespace {

// Real pipelines have up to ten steps and grow a text by up to a hundred in theory.
constexpr int kMaxSteps = 128;
constexpr double kMaxGrowth = 4096;

struct Cost {
  int steps = 0;
  double growth = 1;  // bytes out per byte in, at most
};

// Empty for what is no string; whoever builds the component reports that.
std::string_view TextOf(const JsonObject& json, std::string_view key) {
  std::string_view text;
  const auto value = json.Get(key);
  return value && value->get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// Every match of n bytes becomes m; a regex may match the empty text at every byte.
double GrowthOfReplace(const JsonObject& json) {
  const auto size = static_cast<double>(TextOf(json, "content").size());
  const auto pattern = json.RequiredObject("pattern");
  if (!pattern || pattern->Get("Regex")) return 1 + size;
  const auto plain = static_cast<double>(TextOf(*pattern, "String").size());
  return std::max(1.0, size / std::max<double>(1, plain));
}

double GrowthOf(const JsonObject& json, std::string_view type) {
  if (type == "Replace") return GrowthOfReplace(json);
  if (type == "Prepend") return 1 + static_cast<double>(TextOf(json, "prepend").size());
  if (type == "NFKC" || type == "NFKD") return 11;  // U+FDFA
  if (type == "NFC" || type == "NFD" || type == "BertNormalizer") return 3;
  if (type == "Lowercase") return 1.5;
  // A space before every piece, then two bytes for one, or four for a space.
  if (type == "ByteLevel") return 4;
  if (type == "Metaspace") return 8;
  return 1;
}

Status AddCost(const JsonObject& json, Cost* cost) {
  const std::string_view type = TextOf(json, "type");
  if (type == "Sequence") {
    for (const std::string_view key : {"normalizers", "pretokenizers", "decoders"}) {
      if (!json.Get(key)) continue;
      MDSA_ASSIGN(const auto array, json.RequiredArray(key));
      MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf(key)));
      for (const JsonObject& object : objects) MDSA_TRY(AddCost(object, cost));
    }
    return {};
  }
  ++cost->steps;
  cost->growth *= GrowthOf(json, type);
  return {};
}

}  // namespace

Status CheckGrowth(const JsonObject& tokenizer, std::initializer_list<std::string_view> keys) {
  Cost cost;
  for (const std::string_view key : keys) {
    if (!tokenizer.Get(key)) continue;
    MDSA_ASSIGN(const JsonObject part, tokenizer.RequiredObject(key));
    MDSA_TRY(AddCost(part, &cost));
    if (cost.steps > kMaxSteps) {
      return Err(ErrorCode::kUnsupported, "'{}' has more than {} steps", part.path(), kMaxSteps);
    }
    if (cost.growth > kMaxGrowth) {
      return Err(ErrorCode::kUnsupported,
                 "the steps up to '{}' can make a text {:.3g} times longer; at most {} is taken",
                 part.path(), cost.growth, kMaxGrowth);
    }
  }
  return {};
}

}  // namespace mdsa
