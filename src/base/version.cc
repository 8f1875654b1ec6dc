#include "mdsa/version.h"

namespace mdsa {

const char* Version() { return MDSA_VERSION; }

}  // namespace mdsa
