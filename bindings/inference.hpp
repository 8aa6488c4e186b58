#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// Runtime, sessions and native tensors; lib/addon/addon.ts describes the functions.
void export_inference(Napi::Env env, Napi::Object exports);

}  // namespace fsyn::bindings
