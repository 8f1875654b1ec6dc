// Whether a checkpoint's tensors are those of its configuration: one answer for load, estimate and
// quantize.
#pragma once

#include "base/function_ref.h"
#include "engine/load.h"
#include "formats/tensor_source.h"
#include "mdsa/result.h"

namespace mdsa::engine {

// Calls `visit` with every tensor that the model has and the source holds, each checked: shape, a
// floating-point type whose blocks fill the rows, bytes that match both. Ends at the first error of
// a check or of `visit`, so that a config that claims billions of layers costs nothing. Errors name
// the tensor: kInvalidFormat for one that is missing or does not fit, kUnsupported for an element
// type that is no floating-point type.
Status VisitTensors(const TensorSource& source, const ArchitectureConfig& config,
                    FunctionRef<Status(const TensorSpec& spec, const TensorInfo& tensor)> visit);

}  // namespace mdsa::engine
