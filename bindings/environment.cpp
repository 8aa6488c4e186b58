#include "environment.hpp"

#include <memory>

namespace fsyn::bindings {

void Environment::install(Napi::Env env) {
  auto made = std::make_unique<Environment>();
  const napi_status status = napi_add_env_cleanup_hook(
      env, [](void* data) { static_cast<Environment*>(data)->jobs.stop_and_join(); }, made.get());
  if (status != napi_ok) throw Napi::Error::New(env);
  env.SetInstanceData(made.release());
}

Environment& Environment::of(Napi::Env env) {
  return *env.GetInstanceData<Environment>();
}

}  // namespace fsyn::bindings
