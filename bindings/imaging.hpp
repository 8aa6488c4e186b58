#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// Blur and resampling of 8-bit images; lib/vlm/images/native.ts describes the functions.
void export_imaging(Napi::Object exports);

}  // namespace fsyn::bindings
