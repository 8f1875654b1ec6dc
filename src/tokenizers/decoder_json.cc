#include "tokenizers/component_json.h"

namespace mdsa {
namespace {

constexpr std::int64_t kMaxStripped = 1 << 20;

Result<StageMaker> StripFromJson(const JsonObject& json) {
  MDSA_ASSIGN(std::string content, json.RequiredChar("content"));
  MDSA_ASSIGN(const std::int64_t start, json.RequiredInt("start"));
  MDSA_ASSIGN(const std::int64_t stop, json.RequiredInt("stop"));
  if (start < 0 || stop < 0 || start > kMaxStripped || stop > kMaxStripped) {
    return Err(ErrorCode::kInvalidFormat, "'{}' strips {} and {} characters; 0 to {} are taken",
               json.path(), start, stop, kMaxStripped);
  }
  return StripStage(std::move(content), static_cast<std::size_t>(start),
                    static_cast<std::size_t>(stop));
}

Result<StageMaker> SingleFromJson(const JsonObject& json, const std::string& type) {
  if (type == "ByteLevel") return ByteLevelStage();
  if (type == "ByteFallback") return ByteFallbackStage();
  if (type == "Fuse") return FuseStage();
  if (type == "Strip") return StripFromJson(json);
  if (type == "WordPiece") {
    MDSA_ASSIGN(std::string prefix, json.String("prefix", "##"));
    MDSA_ASSIGN(const bool cleanup, json.Bool("cleanup", true));
    return WordPieceStage(std::move(prefix), cleanup);
  }
  if (type == "Metaspace") {
    MDSA_ASSIGN(MetaspaceOptions options, MetaspaceFromJson(json));
    return MetaspaceStage(std::move(options.replacement), options.scheme != PrependScheme::kNever);
  }
  if (type == "Replace") {
    MDSA_ASSIGN(Pattern pattern, PatternFromJson(json));
    MDSA_ASSIGN(std::string content, json.RequiredString("content"));
    return ReplaceStage(std::move(pattern), std::move(content));
  }
  if (type == "BPEDecoder") {
    MDSA_ASSIGN(std::string suffix, json.String("suffix", "</w>"));
    return BpeStage(std::move(suffix));
  }
  return UnsupportedType(json, type);
}

}  // namespace

Result<std::vector<StageMaker>> DecoderFromJson(const JsonObject& json) {
  MDSA_ASSIGN(const std::string type, json.Type());
  std::vector<StageMaker> stages;
  if (type != "Sequence") {
    MDSA_ASSIGN(StageMaker stage, SingleFromJson(json, type));
    stages.push_back(std::move(stage));
    return stages;
  }
  MDSA_ASSIGN(const auto array, json.RequiredArray("decoders"));
  MDSA_ASSIGN(const auto objects, ObjectsOf(array, json.PathOf("decoders")));
  for (const JsonObject& object : objects) {
    MDSA_ASSIGN(std::vector<StageMaker> inner, DecoderFromJson(object));
    for (StageMaker& stage : inner) stages.push_back(std::move(stage));
  }
  return stages;
}

}  // namespace mdsa
