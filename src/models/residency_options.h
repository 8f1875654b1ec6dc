// What ResidencyOptions::Validate finds, for those who know where a field was written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mdsa/residency.h"

namespace mdsa {

struct OptionProblem {
  std::string_view field;
  std::string message;                // what is wrong with its value
  std::string_view other_field = {};  // that the value does not go with; may be empty
};

// The first in the order of the fields.
std::optional<OptionProblem> FindProblem(const ResidencyOptions& options);

// kInvalidArgument unless `device` names one other device whose memory can be limited: "cuda:N" or
// "mps".
Status CheckLimitedDevice(std::string_view device);

}  // namespace mdsa
