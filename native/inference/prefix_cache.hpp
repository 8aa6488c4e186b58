#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "inference/coalition_program.hpp"
#include "inference/feeds.hpp"

namespace fsyn::inference {

/// The key/value caches of the prefixes of one group of image states, as the prefix runs gave them, and the
/// last copy that was made of them: batches that continue the same prefixes, which is what most do, share it.
class PrefixCaches {
 public:
  explicit PrefixCaches(const CoalitionProgram& program) : program_(program) {}

  void clear();

  /// Takes the outputs of a run over `count` prefixes; they become the next `count` slots.
  void add(std::vector<Tensor> tensors, size_t count);

  /// Feeds the caches of a batch, one slot per sequence, along the batch axis. A batch that is one whole run
  /// needs no copy. The feeds are valid until the next call. Throws Cancelled between two caches.
  void feed(Feeds& feeds, std::span<const size_t> slots, const std::stop_token& stop);

  /// How often caches were copied.
  [[nodiscard]] size_t copies() const noexcept { return copies_; }

 private:
  /// The cache of one slot: a row of the tensors of a run.
  struct Slot {
    std::shared_ptr<const std::vector<Tensor>> tensors;
    size_t row;
    size_t batch;
  };

  void copy(std::span<const size_t> slots, const std::stop_token& stop);
  [[nodiscard]] Tensor copy_on_host(size_t cache, std::span<const size_t> slots) const;
  [[nodiscard]] Tensor copy_on_device(size_t cache, std::span<const size_t> slots,
                                      const std::stop_token& stop) const;

  const CoalitionProgram& program_;
  std::vector<Slot> slots_;
  std::vector<size_t> copied_slots_;
  std::vector<Tensor> copied_;
  size_t copies_ = 0;
};

}  // namespace fsyn::inference
