#pragma once

#include <span>
#include <utility>
#include <vector>

#include "inference/session.hpp"

namespace fsyn::inference {

/// The feeds of one run; owns its tensors unless they are only referred to.
class Feeds {
 public:
  void add(size_t input, Tensor tensor) { owned_.emplace_back(input, std::move(tensor)); }
  /// `tensor` must outlive the run.
  void refer(size_t input, const Tensor& tensor) { borrowed_.push_back({input, &tensor}); }

  [[nodiscard]] std::vector<Session::Feed> list() const;

 private:
  std::vector<std::pair<size_t, Tensor>> owned_;
  std::vector<Session::Feed> borrowed_;
};

/// An extent of a shape.
[[nodiscard]] inline int64_t extent(size_t value) {
  return static_cast<int64_t>(value);
}

/// An integer or boolean tensor in the type that an input wants.
[[nodiscard]] Tensor integers(ElementType type, const Shape& shape, std::span<const int64_t> values);

}  // namespace fsyn::inference
