// tokenizer_dump FOLDER: a filter for differential tests. FOLDER holds tokenizer.json or vocab.txt.
//
// Standard input is a row of requests, each a kind, a length in bytes and that many bytes:
//   'E' u32 n, text            encode; answer: ids with special tokens, ids without
//   'P' u32 n, text, u32 m, text   encode a pair
//   'T' u32 n, text, u32 m, decimal length   encode with a maximal length
//   'D' u32 n, ids (i32 each)  decode; answer: text without and with special tokens, and whether a
//                              DecodeStream gave the same
// Each answer is one line of JSON. Numbers are little-endian. `--time FILE` instead encodes a file
// line by line and prints seconds of processor time.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "mdsa/tokenizer.h"

namespace mdsa {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Result<std::shared_ptr<const Tokenizer>> Load(const std::string& folder) {
  const std::string json = ReadFile(folder + "/tokenizer.json");
  const std::string config = ReadFile(folder + "/tokenizer_config.json");
  const std::string map = ReadFile(folder + "/special_tokens_map.json");
  const std::string vocab = ReadFile(folder + "/vocab.txt");
  const std::string jinja = ReadFile(folder + "/chat_template.jinja");
  return Tokenizer::FromFiles({json, config, map, vocab, jinja});
}

std::optional<std::string> ReadBlock() {
  std::uint32_t size = 0;
  if (std::fread(&size, sizeof(size), 1, stdin) != 1) return std::nullopt;
  std::string block(size, '\0');
  if (std::fread(block.data(), 1, size, stdin) != size) return std::nullopt;
  return block;
}

void PrintIds(const std::vector<TokenId>& ids) { fmt::print("[{}]", fmt::join(ids, ",")); }

void PrintText(const std::string& text) {
  fmt::print("\"");
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\') {
      fmt::print("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      std::fputc(c, stdout);
    }
  }
  fmt::print("\"");
}

std::string Stream(const std::shared_ptr<const Tokenizer>& tokenizer,
                   const std::vector<TokenId>& ids, bool skip) {
  DecodeStream stream(tokenizer, skip);
  std::string text;
  for (const TokenId id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

void PrintDecoded(const std::shared_ptr<const Tokenizer>& tokenizer, const std::string& block) {
  std::vector<TokenId> ids(block.size() / sizeof(TokenId));
  std::memcpy(ids.data(), block.data(), ids.size() * sizeof(TokenId));
  const std::string skipped = tokenizer->Decode(ids, true);
  const std::string full = tokenizer->Decode(ids, false);
  fmt::print("[");
  PrintText(skipped);
  fmt::print(",");
  PrintText(full);
  fmt::print(",{}]\n",
             Stream(tokenizer, ids, true) == skipped && Stream(tokenizer, ids, false) == full);
}

void PrintEncoded(const Encoding& with, const Encoding& without) {
  fmt::print("[");
  PrintIds(with.ids);
  fmt::print(",");
  PrintIds(without.ids);
  fmt::print(",");
  PrintIds(with.type_ids);
  fmt::print("]\n");
}

bool Answer(const std::shared_ptr<const Tokenizer>& tokenizer, int kind) {
  const EncodeOptions bare{.add_special_tokens = false};
  const auto first = ReadBlock();
  if (!first) return false;
  if (kind == 'D') {
    PrintDecoded(tokenizer, *first);
  } else if (kind == 'E') {
    PrintEncoded(tokenizer->Encode(*first), tokenizer->Encode(*first, bare));
  } else {
    const auto second = ReadBlock();
    if (!second) return false;
    if (kind == 'T') {
      const EncodeOptions cut{.max_length = std::atoll(second->c_str())};
      const EncodeOptions bare_cut{.add_special_tokens = false, .max_length = cut.max_length};
      PrintEncoded(tokenizer->Encode(*first, cut), tokenizer->Encode(*first, bare_cut));
      return true;
    }
    PrintEncoded(tokenizer->EncodePair(*first, *second),
                 tokenizer->EncodePair(*first, *second, bare));
  }
  return true;
}

double Seconds(std::clock_t since) {
  return static_cast<double>(std::clock() - since) / CLOCKS_PER_SEC;
}

void Time(const Tokenizer& tokenizer, const std::string& path) {
  const std::string text = ReadFile(path);
  std::size_t tokens = 0;
  const std::clock_t start = std::clock();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    tokens += tokenizer.Encode(std::string_view(text).substr(at, end - at)).ids.size();
    at = end + 1;
  }
  const double seconds = Seconds(start);
  fmt::print("{} bytes, {} tokens, {:.4f} s, {:.1f} MB/s, {} bytes of memory\n", text.size(),
             tokens, seconds, static_cast<double>(text.size()) / 1e6 / seconds,
             tokenizer.memory_bytes());
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: tokenizer_dump FOLDER [--time FILE]\n");
    return 2;
  }
  const std::clock_t start = std::clock();
  const auto tokenizer = Load(argv[1]);
  if (!tokenizer) {
    fmt::print(stderr, "{}\n", tokenizer.error().ToString());
    return 1;
  }
  const double seconds = Seconds(start);
  if (argc > 3) {
    fmt::print("loaded in {:.4f} s\n", seconds);
    Time(**tokenizer, argv[3]);
    return 0;
  }
  for (int kind = std::getchar(); kind != EOF; kind = std::getchar()) {
    if (!Answer(*tokenizer, kind)) break;
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace mdsa

int main(int argc, char** argv) { return mdsa::Main(argc, argv); }
