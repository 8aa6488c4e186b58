#include "inference/prefix_cache.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
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
  for (size_t c = 0; c < program_.caches.size(); ++c) {
    throw_if_stopped(stop);
    copied_.push_back(program_.device_caches ? copy_on_device(c, slots, stop) : copy_on_host(c, slots));
  }
  copied_slots_.assign(slots.begin(), slots.end());
  ++copies_;
}

Tensor PrefixCaches::copy_on_host(size_t cache, std::span<const size_t> slots) const {
  const Slot& first = slots_[slots.front()];
  const Tensor& model = (*first.tensors)[cache];
  Shape shape = model.shape();
  shape[0] = extent(slots.size());
  Tensor copied = Tensor::allocate(model.type(), shape);
  const size_t row_bytes = model.bytes() / first.batch;
  for (size_t b = 0; b < slots.size(); ++b) {
    const Slot& slot = slots_[slots[b]];
    const std::byte* source = (*slot.tensors)[cache].data() + slot.row * row_bytes;
    std::memcpy(copied.data() + b * row_bytes, source, row_bytes);
  }
  return copied;
}

/// Joins the rows of one prefix run after the other; a group's prefixes are one run unless memory was short.
Tensor PrefixCaches::copy_on_device(size_t cache, std::span<const size_t> slots,
                                    const std::stop_token& stop) const {
  const auto rows = [](const std::vector<int64_t>& values) {
    return integers(ElementType::int64, {extent(values.size())}, values);
  };
  std::optional<Tensor> joined;
  for (size_t begin = 0; begin < slots.size();) {
    const auto& tensors = slots_[slots[begin]].tensors;
    std::vector<int64_t> next;
    for (; begin < slots.size() && slots_[slots[begin]].tensors == tensors; ++begin) {
      next.push_back(extent(slots_[slots[begin]].row));
    }
    std::vector<int64_t> before(joined ? static_cast<size_t>(joined->shape()[0]) : 0);
    std::iota(before.begin(), before.end(), int64_t{0});
    const Tensor& source = (*tensors)[cache];
    Feeds feeds;
    feeds.refer(0, joined ? *joined : source);
    feeds.refer(1, source);
    feeds.add(2, rows(before));
    feeds.add(3, rows(next));
    const size_t outputs[] = {0};
    const DeviceCaches& device = *program_.device_caches;
    joined = std::move(device.join->run_on(feeds.list(), outputs, device.memory, stop).front());
  }
  return std::move(*joined);
}

}  // namespace fsyn::inference
