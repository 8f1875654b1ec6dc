// Values between Python and the library.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mdsa/model.h"
#include "mdsa/model_config.h"
#include "mdsa/tokenizer.h"

namespace mdsa::python {

namespace nb = nanobind;

template <typename T, int Dimensions>
using ArrayIn =
    nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu, nb::numpy>;

template <typename T, typename... Options>
std::span<const T> SpanOf(const nb::ndarray<const T, Options...>& array) {
  return {array.data(), array.size()};
}

// A numpy array that owns `values`, without a copy. With the GIL.
template <typename T>
nb::object ToNumpy(std::vector<T> values, const std::vector<std::int64_t>& shape) {
  auto* const owned = new std::vector<T>(std::move(values));
  const nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  owned->reserve(1);  // numpy wants a pointer also for no values
  const std::vector<std::size_t> sizes(shape.begin(), shape.end());
  return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), sizes.size(), sizes.data(), owner));
}

inline nb::object ToNumpy(Tensor tensor) { return ToNumpy(std::move(tensor.values), tensor.shape); }

// The UTF-8 of a str; lone surrogates become ill-formed bytes, which the tokenizers read as U+FFFD.
std::string ToUtf8(const nb::str& text);
std::vector<std::string> ToUtf8(const nb::list& texts);
// A file name in a message may hold bytes that are no UTF-8: they become U+FFFD.
nb::object ToText(std::string_view text);

// What os.fsencode gives, or None.
std::optional<std::filesystem::path> ToPath(const std::optional<nb::bytes>& encoded);
// As os.fsdecode: bytes that are no UTF-8 become lone surrogates.
nb::object FromPath(const std::filesystem::path& path);

// What ModelConfig._to_json gives, parsed and checked. Throws NativeError.
ModelConfig ToConfig(const std::string& json);

// Keys as in GenerationOptions; an absent key or None leaves the default. Throws NativeError naming
// the key.
GenerationOptions ToGenerationOptions(const nb::dict& options);

nb::dict FromGenerationResult(GenerationResult result);

}  // namespace mdsa::python
