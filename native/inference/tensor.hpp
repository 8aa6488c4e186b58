#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/runtime.hpp"

namespace fsyn::inference {

/// Element types with ONNX's own numbers.
enum class ElementType : int32_t {
  undefined = 0,
  float32 = 1,
  uint8 = 2,
  int8 = 3,
  uint16 = 4,
  int16 = 5,
  int32 = 6,
  int64 = 7,
  string = 8,
  boolean = 9,
  float16 = 10,
  float64 = 11,
  uint32 = 12,
  uint64 = 13,
  bfloat16 = 16,
};

/// Bytes of one element; 0 for types that have no fixed size here (strings, packed types).
[[nodiscard]] size_t element_size(ElementType type) noexcept;

using Shape = std::vector<int64_t>;

/// Product of the dimensions; throws fsyn::Error INVALID_ARGUMENT for a negative one or an overflow.
[[nodiscard]] size_t element_count(std::span<const int64_t> shape);

/// A dense tensor in memory that ONNX Runtime can read and write; owns the runtime's value, move-only.
class Tensor {
 public:
  /// An uninitialised tensor on the CPU. Throws OUT_OF_MEMORY.
  [[nodiscard]] static Tensor allocate(ElementType type, std::span<const int64_t> shape);

  /// A window on memory of the caller, which must outlive the tensor and every output that may alias it.
  [[nodiscard]] static Tensor view(ElementType type, std::span<const int64_t> shape, void* data,
                                   size_t bytes);

  /// Memory of a provider: fed without a copy, without data() here.
  [[nodiscard]] static Tensor on_device(ElementType type, std::span<const int64_t> shape,
                                        std::shared_ptr<void> memory, const ort::MemoryInfo* info);

  /// Takes over a value that the runtime made; throws MODEL_CONTRACT when it is no tensor. One that lies in a
  /// provider's memory has no data() here: it can only be fed.
  [[nodiscard]] static Tensor adopt(ValueHandle value, bool on_host = true);

  [[nodiscard]] ElementType type() const noexcept { return type_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  template <typename T>
  [[nodiscard]] std::span<T> as() noexcept {
    return {reinterpret_cast<T*>(data_), bytes_ / sizeof(T)};
  }
  template <typename T>
  [[nodiscard]] std::span<const T> as() const noexcept {
    return {reinterpret_cast<const T*>(data_), bytes_ / sizeof(T)};
  }
  /// Where the elements are, on the host or on the device.
  [[nodiscard]] const void* address() const;
  [[nodiscard]] const ort::Value* value() const noexcept { return value_.get(); }

 private:
  Tensor() = default;
  /// Type, shape and size, without a value.
  Tensor(ElementType type, std::span<const int64_t> shape);
  void keep(ort::Value* value) { value_ = ValueHandle(value); }

  std::shared_ptr<ort::Value> value_;
  ElementType type_ = ElementType::undefined;
  Shape shape_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace fsyn::inference
