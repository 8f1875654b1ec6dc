// Python keeps answers of get_or_load ready (see hit_method.cc); they must not outlive an eviction.
#pragma once

#include "mdsa/residency.h"

namespace mdsa::python {

// A ModelEventSink. After an eviction it has the main thread call
// mdsa.models.registry.drop_stale_hits() soon; it never takes the GIL.
void NoteEvent(const ModelEvent& event);

}  // namespace mdsa::python
