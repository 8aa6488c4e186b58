#pragma once

#include <napi.h>

namespace fsyn::bindings {

/// The coalition evaluator; lib/addon/addon.ts describes the functions.
void export_coalitions(Napi::Env env, Napi::Object exports);

}  // namespace fsyn::bindings
