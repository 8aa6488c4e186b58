#include <napi.h>

#include <chrono>

#include "calls.hpp"
#include "coalitions.hpp"
#include "environment.hpp"
#include "errors.hpp"
#include "games/cpu_features.hpp"
#include "imaging.hpp"
#include "inference.hpp"
#include "interactions.hpp"

namespace {

using namespace fsyn::bindings;

Napi::Value cpu_features(const Napi::CallbackInfo& info) {
  const auto& features = fsyn::games::cpu_features();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("avx2", features.avx2);
  result.Set("avx512", features.avx512);
  result.Set("neon", features.neon);
  return result;
}

/// initialise(FsynError): native errors become instances of the class that the library throws.
Napi::Value initialise_with(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).error_class = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

/// leave(exitCode): the process is about to end; see JobThreads::leave.
Napi::Value leave(const Napi::CallbackInfo& info) {
  constexpr std::chrono::seconds kPatience{3};
  Environment::of(info.Env()).jobs.leave(info[0].As<Napi::Number>().Int32Value(), kPatience);
  return info.Env().Undefined();
}

/// errorCodes() -> every code that native errors may have
Napi::Value error_codes(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env(), fsyn::kErrorCodeNames.size());
  for (uint32_t i = 0; i < fsyn::kErrorCodeNames.size(); ++i) names.Set(i, fsyn::kErrorCodeNames[i]);
  return names;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  Environment::install(env);
  export_function(exports, "initialise", initialise_with);
  export_function(exports, "leave", leave);
  export_function(exports, "errorCodes", error_codes);
  export_function(exports, "cpuFeatures", cpu_features);
  export_inference(exports);
  export_interactions(exports);
  export_coalitions(exports);
  export_imaging(exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise)
