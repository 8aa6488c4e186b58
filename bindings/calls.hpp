#pragma once

#include <napi.h>

#include <exception>
#include <utility>

namespace fsyn::bindings {

/// The JavaScript error for a C++ exception: fsyn::Error keeps its code, std::bad_alloc is OUT_OF_MEMORY,
/// std::invalid_argument is INVALID_ARGUMENT, fsyn::Cancelled is CANCELLED, anything else INFERENCE. An error
/// that JavaScript threw stays what it is.
[[nodiscard]] Napi::Error translate_error(Napi::Env env, const std::exception_ptr& exception);

/// Runs what C code calls. An exception that left it would end the process; here it ends the work. While an
/// environment goes down every call of N-API throws, and nobody is left who could hear of it: elsewhere,
/// `work` tells of its failures itself.
template <typename Work>
void contain(const Work& work) noexcept {
  try {
    work();
  } catch (...) {
    return;
  }
}

/// A function for JavaScript, where the exceptions of `work(const Napi::CallbackInfo&)` arrive as errors.
template <typename Work>
[[nodiscard]] Napi::Function make_function(Napi::Env env, const char* name, Work work) {
  return Napi::Function::New(
      env,
      [work = std::move(work)](const Napi::CallbackInfo& info) -> Napi::Value {
        Napi::Value result;
        contain([&] {
          try {
            result = work(info);
          } catch (...) {
            translate_error(info.Env(), std::current_exception()).ThrowAsJavaScriptException();
          }
        });
        return result;
      },
      name);
}

using NativeFunction = Napi::Value (*)(const Napi::CallbackInfo&);

inline void export_function(Napi::Object exports, const char* name, NativeFunction function) {
  exports.Set(name, make_function(exports.Env(), name, function));
}

}  // namespace fsyn::bindings
