#pragma once

#include <cstddef>
#include <vector>

#include "inference/tensor.hpp"

namespace fsyn::inference {

/// Rows of `width` values in the element type of the decoder's embeddings.
struct RowTable {
  ElementType type = ElementType::float32;
  size_t width = 0;
  std::vector<std::byte> bytes;

  [[nodiscard]] size_t row_bytes() const { return width * element_size(type); }
  [[nodiscard]] size_t rows() const { return row_bytes() == 0 ? 0 : bytes.size() / row_bytes(); }
  [[nodiscard]] const std::byte* row(size_t index) const { return bytes.data() + index * row_bytes(); }
};

/// The tensor's rows (last axis = width), in another float type when it differs. Throws MODEL_CONTRACT,
/// naming `what`, for tensors that hold no float vectors.
[[nodiscard]] RowTable to_rows(const Tensor& tensor, ElementType type, const char* what);

}  // namespace fsyn::inference
