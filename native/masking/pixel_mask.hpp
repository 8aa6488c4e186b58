#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fsyn::masking {

/// Which image player every element of a model's pixel input belongs to, ready to be applied to image states.
///
/// Elements of one player come in runs (a row of its cell), so a state is written run by run: a copy of the
/// image, then the runs of absent players from the baseline. The cost is that of writing the output once or
/// twice.
class PixelMask {
 public:
  /// `players`: image player of every element in row-major order, -1 for an element that is always present.
  explicit PixelMask(std::span<const int32_t> players);

  /// Number of elements of one image state.
  [[nodiscard]] size_t size() const noexcept { return size_; }

  /// One more than the largest player named.
  [[nodiscard]] size_t players() const noexcept { return offsets_.empty() ? 0 : offsets_.size() - 1; }

  /// The players that this was made of, [size()].
  [[nodiscard]] std::vector<int32_t> players_of_elements() const;

  /// Writes one image state. `present`: one byte per player; `image`, `baseline`, `out`: size() elements
  /// each.
  void apply(std::span<const uint8_t> present, std::span<const float> image, std::span<const float> baseline,
             std::span<float> out) const;

 private:
  struct Run {
    size_t begin;
    size_t length;
  };
  size_t size_;
  /// Runs grouped by player; those of player p are [offsets_[p], offsets_[p + 1]).
  std::vector<Run> runs_;
  std::vector<size_t> offsets_;
};

}  // namespace fsyn::masking
