#include "inference/row_table.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "errors.hpp"
#include "inference/half.hpp"

namespace fsyn::inference {

RowTable to_rows(const Tensor& tensor, ElementType type, const char* what) {
  if (tensor.shape().empty() ||
      (tensor.type() != ElementType::float32 && tensor.type() != ElementType::float16)) {
    throw Error(ErrorCode::model_contract,
                std::string("The ") + what + " must be float32 or float16 vectors.");
  }
  RowTable table;
  table.type = type;
  table.width = static_cast<size_t>(tensor.shape().back());
  const size_t count = tensor.bytes() / element_size(tensor.type());
  table.bytes.resize(count * element_size(type));
  if (tensor.type() == type) {
    std::memcpy(table.bytes.data(), tensor.data(), tensor.bytes());
  } else if (type == ElementType::float32) {
    auto* out = reinterpret_cast<float*>(table.bytes.data());
    std::transform(tensor.as<uint16_t>().begin(), tensor.as<uint16_t>().end(), out, half_to_float);
  } else {
    auto* out = reinterpret_cast<uint16_t*>(table.bytes.data());
    std::transform(tensor.as<float>().begin(), tensor.as<float>().end(), out, float_to_half);
  }
  return table;
}

}  // namespace fsyn::inference
