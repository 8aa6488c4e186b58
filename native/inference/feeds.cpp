#include "inference/feeds.hpp"

#include <algorithm>

namespace fsyn::inference {

std::vector<Session::Feed> Feeds::list() const {
  std::vector<Session::Feed> feeds = borrowed_;
  for (const auto& [input, tensor] : owned_) feeds.push_back({input, &tensor});
  return feeds;
}

Tensor integers(ElementType type, const Shape& shape, std::span<const int64_t> values) {
  Tensor tensor = Tensor::allocate(type, shape);
  if (type == ElementType::int64) {
    std::copy(values.begin(), values.end(), tensor.as<int64_t>().begin());
  } else if (type == ElementType::int32) {
    std::transform(values.begin(), values.end(), tensor.as<int32_t>().begin(),
                   [](int64_t value) { return static_cast<int32_t>(value); });
  } else {
    std::transform(values.begin(), values.end(), tensor.as<uint8_t>().begin(),
                   [](int64_t value) { return static_cast<uint8_t>(value != 0 ? 1 : 0); });
  }
  return tensor;
}

}  // namespace fsyn::inference
