#include <napi.h>

#include "coalitions.hpp"
#include "games/cpu_features.hpp"
#include "imaging.hpp"
#include "inference.hpp"
#include "interactions.hpp"
#include "job.hpp"

namespace {

Napi::Value cpu_features(const Napi::CallbackInfo& info) {
  const auto& features = fsyn::games::cpu_features();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("avx2", features.avx2);
  result.Set("avx512", features.avx512);
  return result;
}

/// initialise(FsynError): native errors become instances of the class that the library throws.
Napi::Value initialise_with(const Napi::CallbackInfo& info) {
  fsyn::bindings::set_error_class(info.Env(), info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  fsyn::bindings::install_jobs(env);
  exports.Set("initialise", Napi::Function::New(env, initialise_with, "initialise"));
  exports.Set("cpuFeatures", Napi::Function::New(env, cpu_features, "cpuFeatures"));
  fsyn::bindings::export_inference(env, exports);
  fsyn::bindings::export_interactions(env, exports);
  fsyn::bindings::export_coalitions(env, exports);
  fsyn::bindings::export_imaging(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise)
