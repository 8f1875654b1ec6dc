#include "formats/dtype.h"

#include <array>

#include "base/check.h"
#include "base/checked_math.h"

namespace mdsa {
namespace {

// In the order of the enumeration.
constexpr std::array kTraits = {
    DTypeTraits{"F64", 1, 8, true},      DTypeTraits{"F32", 1, 4, true},
    DTypeTraits{"F16", 1, 2, true},      DTypeTraits{"BF16", 1, 2, true},
    DTypeTraits{"F8_E4M3", 1, 1, true},  DTypeTraits{"F8_E5M2", 1, 1, true},
    DTypeTraits{"I64", 1, 8, false},     DTypeTraits{"I32", 1, 4, false},
    DTypeTraits{"I16", 1, 2, false},     DTypeTraits{"I8", 1, 1, false},
    DTypeTraits{"U64", 1, 8, false},     DTypeTraits{"U32", 1, 4, false},
    DTypeTraits{"U16", 1, 2, false},     DTypeTraits{"U8", 1, 1, false},
    DTypeTraits{"BOOL", 1, 1, false},    DTypeTraits{"Q4_0", 32, 18, true},
    DTypeTraits{"Q4_1", 32, 20, true},   DTypeTraits{"Q5_0", 32, 22, true},
    DTypeTraits{"Q5_1", 32, 24, true},   DTypeTraits{"Q8_0", 32, 34, true},
    DTypeTraits{"Q4_K", 256, 144, true}, DTypeTraits{"Q5_K", 256, 176, true},
    DTypeTraits{"Q6_K", 256, 210, true},
};
static_assert(kTraits.size() == static_cast<std::size_t>(DType::kQ6K) + 1);

}  // namespace

const DTypeTraits& TraitsOf(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  MDSA_CHECK(index < kTraits.size());
  return kTraits[index];
}

std::optional<std::int64_t> ByteSize(DType dtype, std::int64_t elements) {
  const DTypeTraits& traits = TraitsOf(dtype);
  if (elements < 0 || elements % traits.block_elements != 0) return std::nullopt;
  return CheckedMul(elements / traits.block_elements, traits.block_bytes);
}

}  // namespace mdsa
