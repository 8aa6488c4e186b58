#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>

namespace fsyn::imaging {

/// Fixed-point weights of every output sample along one axis (22 fractional bits): sample i is the sum of
/// weights[i * size + k] * source[first[i] + k] over k < count[i].
struct Taps {
  size_t size = 0;
  std::span<const int32_t> first;
  std::span<const int32_t> count;
  std::span<const int32_t> weights;

  [[nodiscard]] size_t outputs() const noexcept { return first.size(); }
};

/// Resamples an 8-bit RGB image [height, width, 3] along the columns and then along the rows, as Pillow does
/// in 8 bits: rounded and clamped to 8 bits after either. An axis without taps keeps its extent. `target` has
/// the resulting number of values and does not overlap `source`. The number of threads never changes a byte.
/// Throws Cancelled, INVALID_ARGUMENT.
void resample(std::span<const uint8_t> source, std::span<uint8_t> target, size_t height, size_t width,
              const Taps& columns, const Taps& rows, int threads, const std::stop_token& stop);

}  // namespace fsyn::imaging
