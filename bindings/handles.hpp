#pragma once

#include <napi.h>

#include <memory>

#include "errors.hpp"
#include "inference/coalition_program.hpp"
#include "inference/session.hpp"

namespace fsyn::bindings {

inline constexpr napi_type_tag kSessionTag = {0x6673796e00000001, 0x8f1d3b5a72c94e60};
inline constexpr napi_type_tag kTensorTag = {0x6673796e00000002, 0x8f1d3b5a72c94e60};

inline constexpr napi_type_tag kProgramTag = {0x6673796e00000003, 0x8f1d3b5a72c94e60};

/// What JavaScript holds: shared with the jobs that use it, so that disposing during a run is safe.
template <typename T>
struct Handle {
  std::shared_ptr<T> object;
  /// Bytes reported to V8's garbage collector.
  int64_t reported_bytes = 0;

  void dispose(Napi::Env env) {
    object.reset();
    if (reported_bytes != 0) Napi::MemoryManagement::AdjustExternalMemory(env, -reported_bytes);
    reported_bytes = 0;
  }
};

using SessionHandle = Handle<const inference::Session>;
using TensorHandle = Handle<inference::Tensor>;

/// Wraps a native object; the tag keeps any other external from being taken for it.
template <typename T>
[[nodiscard]] Napi::Value wrap_handle(Napi::Env env, std::shared_ptr<T> object, int64_t bytes,
                                      const napi_type_tag& tag) {
  auto handle = std::make_unique<Handle<T>>(Handle<T>{std::move(object), bytes});
  if (bytes != 0) Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  auto external = Napi::External<Handle<T>>::New(env, handle.get(), [](Napi::Env owner, Handle<T>* dead) {
    const std::unique_ptr<Handle<T>> owned(dead);
    owned->dispose(owner);
  });
  (void)handle.release();
  external.TypeTag(&tag);
  return external;
}

template <typename T>
[[nodiscard]] Handle<T>& unwrap_handle(const Napi::Value& value, const napi_type_tag& tag) {
  if (!value.IsExternal()) throw Error(ErrorCode::invalid_argument, "Expected a native handle.");
  auto external = value.As<Napi::External<Handle<T>>>();
  if (!external.CheckTypeTag(&tag))
    throw Error(ErrorCode::invalid_argument, "Expected a native handle of another kind.");
  return *external.Data();
}

[[nodiscard]] inline std::shared_ptr<const inference::Session> session_of(const Napi::Value& value) {
  auto session = unwrap_handle<const inference::Session>(value, kSessionTag).object;
  if (!session) throw Error(ErrorCode::disposed, "The session has been disposed.");
  return session;
}

[[nodiscard]] inline std::shared_ptr<inference::Tensor> tensor_of(const Napi::Value& value) {
  auto tensor = unwrap_handle<inference::Tensor>(value, kTensorTag).object;
  if (!tensor) throw Error(ErrorCode::disposed, "The native tensor has been disposed.");
  return tensor;
}

[[nodiscard]] inline std::shared_ptr<const inference::CoalitionProgram> program_of(const Napi::Value& value) {
  return unwrap_handle<const inference::CoalitionProgram>(value, kProgramTag).object;
}

}  // namespace fsyn::bindings
