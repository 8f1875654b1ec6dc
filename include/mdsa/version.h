// The version of this library.
#pragma once

namespace mdsa {

// "0.1.0".
const char* Version();

}  // namespace mdsa
