// A keyed hash for tables whose keys come from files. The key is drawn once per process, so that
// nobody can write a vocabulary whose tokens all collide.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace mdsa {

// Thread-safe.
std::uint64_t ProcessHashKey();

// Multiply 64x64 to 128 bits and fold: every input bit reaches every output bit.
inline std::uint64_t HashMix(std::uint64_t a, std::uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Hashing of bytes in steps of eight: all prefixes of a text share the states at the multiples of
// eight before them, so the hashes of all prefixes together cost no more than that of the text.
inline constexpr std::size_t kHashStep = 8;

inline std::uint64_t HashStart(std::uint64_t key) { return key; }
// `data` has kHashStep bytes, and more follow.
inline std::uint64_t HashAdvance(std::uint64_t state, const char* data, std::uint64_t key) {
  std::uint64_t value;
  std::memcpy(&value, data, kHashStep);
  return HashMix(state ^ value, key | 1);
}
// `tail` has the last 0 to kHashStep bytes of `size` in all.
inline std::uint64_t HashFinish(std::uint64_t state, std::string_view tail, std::size_t size,
                                std::uint64_t key) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15u;
  std::uint64_t value = 0;
  for (const char c : tail) value = (value << 8) | static_cast<unsigned char>(c);
  return HashMix(state ^ value, kOdd ^ (key << 1) ^ (size << 32));
}

inline std::uint64_t HashBytes(std::string_view bytes, std::uint64_t key) {
  std::uint64_t state = HashStart(key);
  std::size_t done = 0;
  for (; bytes.size() - done > kHashStep; done += kHashStep) {
    state = HashAdvance(state, bytes.data() + done, key);
  }
  return HashFinish(state, bytes.substr(done), bytes.size(), key);
}

}  // namespace mdsa
