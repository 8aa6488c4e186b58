#include "inference/tensor.hpp"

#include <limits>
#include <new>

#include "errors.hpp"
#include "inference/device_turn.hpp"

namespace fsyn::inference {

size_t element_size(ElementType type) noexcept {
  switch (type) {
    case ElementType::uint8:
    case ElementType::int8:
    case ElementType::boolean:
      return 1;
    case ElementType::uint16:
    case ElementType::int16:
    case ElementType::float16:
    case ElementType::bfloat16:
      return 2;
    case ElementType::float32:
    case ElementType::int32:
    case ElementType::uint32:
      return 4;
    case ElementType::int64:
    case ElementType::float64:
    case ElementType::uint64:
      return 8;
    default:
      return 0;
  }
}

size_t element_count(std::span<const int64_t> shape) {
  size_t count = 1;
  for (const int64_t extent : shape) {
    if (extent < 0) throw Error(ErrorCode::invalid_argument, "A tensor dimension is negative.");
    const auto size = static_cast<size_t>(extent);
    if (size != 0 && count > std::numeric_limits<size_t>::max() / 16 / size) {
      throw Error(ErrorCode::invalid_argument, "A tensor shape is too large.");
    }
    count *= size;
  }
  return count;
}

Tensor::Tensor(ElementType type, std::span<const int64_t> shape)
    : type_(type), shape_(shape.begin(), shape.end()), bytes_(element_count(shape) * element_size(type)) {}

Tensor Tensor::allocate(ElementType type, std::span<const int64_t> shape) {
  const Runtime& runtime = Runtime::instance();
  Tensor tensor(type, shape);
  ort::Value* value = nullptr;
  try {
    runtime.check(runtime.api().CreateTensorAsOrtValue(runtime.allocator(), shape.data(), shape.size(),
                                                       static_cast<int32_t>(type), &value));
  } catch (const OrtError& error) {
    throw Error(ErrorCode::out_of_memory,
                "Cannot allocate a tensor of " + std::to_string(tensor.bytes_) + " bytes: " + error.what());
  }
  tensor.keep(value);
  void* data = nullptr;
  runtime.check(runtime.api().GetTensorMutableData(value, &data));
  tensor.data_ = static_cast<std::byte*>(data);
  return tensor;
}

Tensor Tensor::view(ElementType type, std::span<const int64_t> shape, void* data, size_t bytes) {
  const Runtime& runtime = Runtime::instance();
  Tensor tensor(type, shape);
  if (tensor.bytes_ > bytes)
    throw Error(ErrorCode::invalid_argument, "The memory is too small for the tensor's shape.");
  ort::Value* value = nullptr;
  runtime.check(runtime.api().CreateTensorWithDataAsOrtValue(
      runtime.cpu_memory(), data, bytes, shape.data(), shape.size(), static_cast<int32_t>(type), &value));
  tensor.keep(value);
  tensor.data_ = static_cast<std::byte*>(data);
  return tensor;
}

Tensor Tensor::on_device(ElementType type, std::span<const int64_t> shape, std::shared_ptr<void> memory,
                         const ort::MemoryInfo* info) {
  const Runtime& runtime = Runtime::instance();
  Tensor tensor(type, shape);
  ort::Value* value = nullptr;
  runtime.check(runtime.api().CreateTensorWithDataAsOrtValue(
      info, memory.get(), tensor.bytes_, shape.data(), shape.size(), static_cast<int32_t>(type), &value));
  tensor.value_ = {value,
                   [owner = std::move(memory)](ort::Value* owned) { const ValueHandle released(owned); }};
  return tensor;
}

const void* Tensor::address() const {
  const Runtime& runtime = Runtime::instance();
  void* data = nullptr;
  runtime.check(runtime.api().GetTensorMutableData(value_.get(), &data));
  return data;
}

Tensor Tensor::adopt(ValueHandle value, bool on_host) {
  const Runtime& runtime = Runtime::instance();
  const ort::Api& api = runtime.api();
  int is_tensor = 0;
  if (value) runtime.check(api.IsTensor(value.get(), &is_tensor));
  if (is_tensor == 0) throw Error(ErrorCode::model_contract, "An output of the model is not a tensor.");

  ort::TensorInfo* raw = nullptr;
  runtime.check(api.GetTensorTypeAndShape(value.get(), &raw));
  const TensorInfoHandle info(raw);
  int32_t type = 0;
  size_t rank = 0;
  runtime.check(api.GetTensorElementType(raw, &type));
  runtime.check(api.GetDimensionsCount(raw, &rank));

  Tensor tensor;
  tensor.type_ = static_cast<ElementType>(type);
  if (element_size(tensor.type_) == 0) {
    throw Error(ErrorCode::model_contract, "An output of the model has an element type without fixed size (" +
                                               std::to_string(type) + "); fsyn reads numbers only.");
  }
  tensor.shape_.resize(rank);
  runtime.check(api.GetDimensions(raw, tensor.shape_.data(), rank));
  runtime.check(api.GetTensorSizeInBytes(value.get(), &tensor.bytes_));
  if (on_host) {
    void* data = nullptr;
    runtime.check(api.GetTensorMutableData(value.get(), &data));
    tensor.data_ = static_cast<std::byte*>(data);
    tensor.value_ = std::move(value);
  } else {
    tensor.value_ = {value.release(), [](ort::Value* owned) {
                       const auto turn = device_turn();
                       const ValueHandle released(owned);
                     }};
  }
  return tensor;
}

}  // namespace fsyn::inference
