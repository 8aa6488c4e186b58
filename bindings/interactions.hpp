#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// Transforms, indices and least squares; lib/interactions/native.ts describes the functions.
void export_interactions(Napi::Object exports);

}  // namespace fsyn::bindings
