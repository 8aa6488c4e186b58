#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// Runtime, sessions and native tensors; lib/inference/native.ts describes the functions.
void export_inference(Napi::Object exports);

}  // namespace fsyn::bindings
