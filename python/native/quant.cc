// `mdsa._native.quant`: the storage formats on plain arrays, for tests against the programs that
// define them and for tools. Shapes as in quant/nf4.h and quant/int8.h.
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings.h"
#include "convert.h"
#include "error.h"
#include "formats/dtype.h"
#include "gil.h"
#include "kernels/codec.h"
#include "quant/nf4.h"

namespace mdsa::python {
namespace {

nb::tuple Nf4Encode(const ArrayIn<float, 1>& values) {
  const auto n = static_cast<std::int64_t>(values.size());
  std::vector<std::uint8_t> packed(static_cast<std::size_t>(quant::Nf4PackedBytes(n)));
  std::vector<float> absmax(static_cast<std::size_t>(quant::Nf4Blocks(n)));
  {
    const GilRelease release;
    kernels::Nf4Encode(SpanOf(values), packed, absmax);
  }
  return nb::make_tuple(ToNumpy(std::move(packed), {quant::Nf4PackedBytes(n)}),
                        ToNumpy(std::move(absmax), {quant::Nf4Blocks(n)}));
}

nb::tuple Nf4Nest(const ArrayIn<float, 1>& absmax) {
  const auto blocks = static_cast<std::int64_t>(absmax.size());
  const std::int64_t nested_blocks = CeilDiv(blocks, quant::kNf4NestedBlockSize);
  std::vector<std::uint8_t> codes(absmax.size());
  std::vector<float> nested(static_cast<std::size_t>(nested_blocks));
  float offset = 0.0f;
  {
    const GilRelease release;
    offset = quant::Nf4NestReference(SpanOf(absmax), codes, nested);
  }
  return nb::make_tuple(ToNumpy(std::move(codes), {blocks}),
                        ToNumpy(std::move(nested), {nested_blocks}), offset);
}

nb::object Nf4Decode(const ArrayIn<std::uint8_t, 1>& packed, const ArrayIn<std::uint8_t, 1>& codes,
                     const ArrayIn<float, 1>& nested_absmax, float offset, std::int64_t n) {
  if (n < 0 || static_cast<std::int64_t>(packed.size()) != quant::Nf4PackedBytes(n) ||
      static_cast<std::int64_t>(codes.size()) != quant::Nf4Blocks(n) ||
      static_cast<std::int64_t>(nested_absmax.size()) != quant::Nf4NestedBlocks(n)) {
    ThrowInvalidArgument("nf4_decode: the arrays do not have the sizes of " + std::to_string(n) +
                         " values");
  }
  std::vector<float> out(static_cast<std::size_t>(n));
  {
    const GilRelease release;
    quant::Nf4DecodeReference({.count = n,
                               .packed = SpanOf(packed),
                               .absmax = {},
                               .absmax_codes = SpanOf(codes),
                               .nested_absmax = SpanOf(nested_absmax),
                               .offset = offset},
                              0, out);
  }
  return ToNumpy(std::move(out), {n});
}

nb::tuple Int8Encode(const ArrayIn<float, 2>& values) {
  const std::size_t rows = values.shape(0);
  const std::size_t cols = values.shape(1);
  std::vector<std::int8_t> codes(rows * cols);
  std::vector<float> scb(rows);
  {
    const GilRelease release;
    for (std::size_t row = 0; row < rows; ++row) {
      scb[row] = kernels::Int8EncodeRow(SpanOf(values).subspan(row * cols, cols),
                                        std::span(codes).subspan(row * cols, cols));
    }
  }
  const auto shape_rows = static_cast<std::int64_t>(rows);
  return nb::make_tuple(ToNumpy(std::move(codes), {shape_rows, static_cast<std::int64_t>(cols)}),
                        ToNumpy(std::move(scb), {shape_rows}));
}

std::optional<DType> FindDType(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(DType::kQ6K); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (DTypeName(dtype) == name && TraitsOf(dtype).is_float) return dtype;
  }
  return std::nullopt;
}

nb::object GgufDecode(const std::string& type_name, const nb::bytes& bytes, std::int64_t n) {
  const std::optional<DType> dtype = FindDType(type_name);
  if (!dtype) ThrowInvalidArgument("gguf_decode: unknown type '" + type_name + "'");
  if (n < 0 || ByteSize(*dtype, n) != static_cast<std::int64_t>(bytes.size())) {
    ThrowInvalidArgument("gguf_decode: " + std::to_string(bytes.size()) + " bytes are not " +
                         std::to_string(n) + " values of " + type_name);
  }
  std::vector<float> out(static_cast<std::size_t>(n));
  {
    const GilRelease release;
    kernels::DecodeToFloat(*dtype, reinterpret_cast<const std::byte*>(bytes.c_str()), out);
  }
  return ToNumpy(std::move(out), {n});
}

}  // namespace

void BindQuant(nb::module_& module) {
  nb::module_ quant = module.def_submodule("quant", "Storage formats, for tests and tools.");
  quant.def("nf4_encode", &Nf4Encode, nb::arg("values"), "(packed, absmax)");
  quant.def("nf4_nest", &Nf4Nest, nb::arg("absmax"), "(codes, nested_absmax, offset)");
  quant.def("nf4_decode", &Nf4Decode, nb::arg("packed"), nb::arg("codes"), nb::arg("nested_absmax"),
            nb::arg("offset"), nb::arg("n"));
  quant.def("int8_encode", &Int8Encode, nb::arg("values"), "(codes, scb)");
  quant.def("gguf_decode", &GgufDecode, nb::arg("type_name"), nb::arg("bytes"), nb::arg("n"));
}

}  // namespace mdsa::python
