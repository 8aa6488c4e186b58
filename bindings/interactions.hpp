#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// Transforms, indices and least squares; lib/interactions/native.ts describes the functions.
void export_interactions(Napi::Env env, Napi::Object exports);

}  // namespace fsyn::bindings
