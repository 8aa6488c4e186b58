#include "inference/prefix_cache.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "errors.hpp"

namespace fsyn::inference {

void PrefixCaches::clear() {
  slots_.clear();
  copied_slots_.clear();
  copied_.clear();
}

void PrefixCaches::add(std::vector<Tensor> tensors, size_t count) {
  const auto shared = std::make_shared<const std::vector<Tensor>>(std::move(tensors));
  for (size_t row = 0; row < count; ++row) slots_.push_back({shared, row, count});
}

void PrefixCaches::feed(Feeds& feeds, std::span<const size_t> slots, const std::stop_token& stop) {
  const Slot& first = slots_[slots.front()];
  const bool whole = slots.size() == 1 && first.batch == 1;
  if (!whole && !std::equal(slots.begin(), slots.end(), copied_slots_.begin(), copied_slots_.end())) {
    copy(slots, stop);
  }
  for (size_t c = 0; c < program_.caches.size(); ++c) {
    feeds.refer(program_.caches[c].input, whole ? (*first.tensors)[c] : copied_[c]);
  }
}

void PrefixCaches::copy(std::span<const size_t> slots, const std::stop_token& stop) {
  // Gone before the new one is made, and nothing half-made is left behind.
  copied_slots_.clear();
  copied_.clear();
  const Slot& first = slots_[slots.front()];
  for (size_t c = 0; c < program_.caches.size(); ++c) {
    throw_if_stopped(stop);
    const Tensor& model = (*first.tensors)[c];
    Shape shape = model.shape();
    shape[0] = extent(slots.size());
    Tensor expanded = Tensor::allocate(model.type(), shape);
    const size_t row_bytes = model.bytes() / first.batch;
    for (size_t b = 0; b < slots.size(); ++b) {
      const Slot& slot = slots_[slots[b]];
      std::memcpy(expanded.data() + b * row_bytes, (*slot.tensors)[c].data() + slot.row * row_bytes,
                  row_bytes);
    }
    copied_.push_back(std::move(expanded));
  }
  copied_slots_.assign(slots.begin(), slots.end());
  ++copies_;
}

}  // namespace fsyn::inference
