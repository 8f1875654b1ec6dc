// Everything an application needs.
#pragma once

#include "mdsa/config_file.h"       // IWYU pragma: export
#include "mdsa/hardware.h"          // IWYU pragma: export
#include "mdsa/memory_limit.h"      // IWYU pragma: export
#include "mdsa/model.h"             // IWYU pragma: export
#include "mdsa/model_config.h"      // IWYU pragma: export
#include "mdsa/model_lease.h"       // IWYU pragma: export
#include "mdsa/model_loader.h"      // IWYU pragma: export
#include "mdsa/model_manager.h"     // IWYU pragma: export
#include "mdsa/model_registry.h"    // IWYU pragma: export
#include "mdsa/quantize.h"          // IWYU pragma: export
#include "mdsa/residency.h"         // IWYU pragma: export
#include "mdsa/residency_policy.h"  // IWYU pragma: export
#include "mdsa/result.h"            // IWYU pragma: export
#include "mdsa/tokenizer.h"         // IWYU pragma: export
#include "mdsa/version.h"           // IWYU pragma: export
