#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>

namespace fsyn::imaging {

/// An extended box filter in 8.24 fixed point: 2 * `whole` + 1 pixels of `weight`, the two beyond them of
/// `far_weight`. (2 * whole + 1) * weight + 2 * far_weight <= 2^24.
struct BoxFilter {
  size_t whole = 0;
  uint32_t weight = 0;
  uint32_t far_weight = 0;
};

/// Applies a box filter `passes` times along the rows and then along the columns of an 8-bit RGB image
/// [height, width, 3], rounded to 8 bits after every pass, edges repeated: Pillow's Gaussian blur when the
/// filter is its. `source` and `target` have height * width * 3 values and may not overlap. The number of
/// threads never changes a byte. Throws Cancelled, INVALID_ARGUMENT.
void box_blur(std::span<const uint8_t> source, std::span<uint8_t> target, size_t height, size_t width,
              const BoxFilter& filter, int passes, int threads, const std::stop_token& stop);

}  // namespace fsyn::imaging
