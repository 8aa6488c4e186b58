#include <napi.h>

#include "games/cpu_features.hpp"

namespace {

Napi::Value cpu_features(const Napi::CallbackInfo& info) {
  const auto& features = fsyn::games::cpu_features();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("avx2", features.avx2);
  result.Set("avx512", features.avx512);
  return result;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("cpuFeatures", Napi::Function::New(env, cpu_features, "cpuFeatures"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, initialise)
