#include "hardware/proc_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <set>
#include <utility>

namespace mdsa {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

struct KeyValue {
  std::string_view key;
  std::string_view value;
};

KeyValue SplitAtColon(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {Trim(line), {}};
  return {Trim(line.substr(0, colon)), Trim(line.substr(colon + 1))};
}

}  // namespace

std::optional<std::uint64_t> ParseCount(std::string_view text) {
  text = Trim(text);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const std::size_t end = std::min(line.find_first_of(kBlanks), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

CpuInfo ParseCpuInfo(std::string_view text) {
  CpuInfo info;
  std::set<std::pair<std::string_view, std::string_view>> cores;  // package, core
  std::string_view package;
  for (const std::string_view line : Lines(text)) {
    const auto [key, value] = SplitAtColon(line);
    if (key == "processor" && ParseCount(value)) {
      ++info.logical_cores;
      package = {};
    } else if (key == "model name" && info.model.empty()) {
      info.model = value;
    } else if (key == "physical id") {
      package = value;
    } else if (key == "core id") {
      cores.emplace(package, value);
    } else if ((key == "flags" || key == "Features") && info.features.empty()) {
      for (const std::string_view word : Words(value)) info.features.emplace_back(word);
    }
  }
  info.physical_cores = static_cast<int>(cores.size());
  return info;
}

HostMemory ParseMemInfo(std::string_view text) {
  HostMemory memory;
  std::optional<std::uint64_t> available;
  std::uint64_t reclaimable = 0;
  for (const std::string_view line : Lines(text)) {
    const auto [key, value] = SplitAtColon(line);
    const std::vector<std::string_view> words = Words(value);
    if (words.size() != 2 || words[1] != "kB") continue;
    const std::optional<std::uint64_t> kib = ParseCount(words[0]);
    // More than an exbibyte is no memory size but damage.
    if (!kib || *kib >= std::uint64_t{1} << 50) continue;
    const std::uint64_t bytes = *kib * 1024;
    if (key == "MemTotal") memory.total_bytes = bytes;
    if (key == "MemAvailable") available = bytes;
    if (key == "MemFree" || key == "Buffers" || key == "Cached") reclaimable += bytes;
  }
  memory.available_bytes = std::min(available.value_or(reclaimable), memory.total_bytes);
  return memory;
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> chunk;
  // istream::read turns the exceptions of a stream buffer (reading a folder, say) into a state.
  while (file.read(chunk.data(), chunk.size()) || file.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(file.gcount()));
  }
  return text;
}

}  // namespace mdsa
