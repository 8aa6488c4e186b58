#pragma once

#include <napi.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace fsyn::bindings {

/// Memory that a job may use on its own thread, and an array may share.
///
/// JavaScript may shrink, transfer or drop an array at any time, and N-API has no means to hold foreign
/// memory. So jobs share memory of ours, and take copies of everything else before they start.
class Memory {
 public:
  Memory() = default;
  /// Memory of ours, not initialised. Throws OUT_OF_MEMORY when that much would make the machine swap.
  explicit Memory(std::size_t bytes);
  /// A part of what `owner` keeps alive.
  Memory(std::shared_ptr<void> owner, std::byte* data, std::size_t bytes)
      : owner_(std::move(owner)), data_(data), bytes_(bytes) {}

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::shared_ptr<void>& owner() const noexcept { return owner_; }
  template <typename T>
  [[nodiscard]] std::span<T> as() const noexcept {
    return {reinterpret_cast<T*>(data_), bytes_ / sizeof(T)};
  }

 private:
  std::shared_ptr<void> owner_;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The values of a typed array where they are, shared memory included: valid until JavaScript runs again.
/// Throws INVALID_ARGUMENT for anything else.
[[nodiscard]] std::span<std::byte> bytes_of(const Napi::Value& array);

/// The values of a typed array for a job: shared where the memory is ours, else copied.
[[nodiscard]] Memory hold(const Napi::Value& array);

[[nodiscard]] Memory copy(const Napi::Value& array);

/// A typed array over this memory, which it keeps alive.
[[nodiscard]] Napi::Value to_array(Napi::Env env, const Memory& memory, napi_typedarray_type type);

/// A new typed array of the same type over what hold() gives; the array itself where the memory is ours.
Napi::Value hold_values(const Napi::CallbackInfo& info);

/// allocateValues(length, wide) -> Float64Array or Float32Array of zeros in memory of ours
Napi::Value allocate_values(const Napi::CallbackInfo& info);

/// A vector of the values of a typed array whose elements are `From`.
template <typename To, typename From = To>
[[nodiscard]] std::vector<To> vector_of(const Napi::Value& array) {
  const auto bytes = bytes_of(array);
  const std::span values(reinterpret_cast<const From*>(bytes.data()), bytes.size() / sizeof(From));
  std::vector<To> result;
  result.reserve(values.size());
  for (const From value : values) result.push_back(static_cast<To>(value));
  return result;
}

}  // namespace fsyn::bindings
