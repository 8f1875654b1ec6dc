// What objects on the heap really take: the blocks of the allocator, not the bytes asked for.
// The numbers are glibc's; other allocators are near them.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace mdsa {

// One block of the heap: eight bytes of its own, rounded up to 16; from 128 KiB on pages of its
// own. 0 for nothing.
constexpr std::size_t HeapBlockBytes(std::size_t bytes) {
  constexpr std::size_t kOwnPages = 128 * 1024;
  constexpr std::size_t kPage = 4096;
  if (bytes == 0) return 0;
  if (bytes >= kOwnPages) return (bytes + 16 + kPage - 1) / kPage * kPage;
  const std::size_t block = (bytes + 8 + 15) / 16 * 16;
  return block < 32 ? 32 : block;
}

template <typename T>
std::size_t HeapBytes(const std::vector<T>& values) {
  return HeapBlockBytes(values.capacity() * sizeof(T));
}

// A short string lies within its object.
inline std::size_t HeapBytes(const std::string& text) {
  const auto* const object = reinterpret_cast<const char*>(&text);
  const std::less<const char*> before;
  const bool inside = !before(text.data(), object) && before(text.data(), object + sizeof(text));
  return inside ? 0 : HeapBlockBytes(text.capacity() + 1);
}

// The buckets and nodes of a std::unordered_map or unordered_set, without what the values own.
template <typename Map>
std::size_t HashNodesBytes(const Map& map) {
  // Beside its value a node has the next node and, for some keys, their hash.
  constexpr std::size_t kNode = sizeof(typename Map::value_type) + 2 * sizeof(void*);
  return HeapBlockBytes(map.bucket_count() * sizeof(void*)) + map.size() * HeapBlockBytes(kNode);
}

}  // namespace mdsa
