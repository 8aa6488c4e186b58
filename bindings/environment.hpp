#pragma once

#include <napi.h>

#include "job_threads.hpp"

namespace fsyn::bindings {

/// What one JavaScript environment (the main thread's or a worker's) has of ours; used on its thread only.
struct Environment {
  /// The FsynError class of lib/errors.ts; empty until the library has handed it over.
  Napi::FunctionReference error_class;
  JobThreads jobs;

  /// Must be called once when the addon is initialised in an environment. When that goes down
  /// (worker.terminate(), end of a worker) its jobs are stopped and joined.
  static void install(Napi::Env env);

  [[nodiscard]] static Environment& of(Napi::Env env);
};

}  // namespace fsyn::bindings
