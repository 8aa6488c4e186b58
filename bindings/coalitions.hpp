#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// The coalition evaluator; lib/inference/native.ts describes the functions.
void export_coalitions(Napi::Object exports);

}  // namespace fsyn::bindings
