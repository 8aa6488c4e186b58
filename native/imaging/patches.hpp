#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>

namespace fsyn::imaging {

/// Patches of `side` x `side` pixels, in blocks of `merge` x `merge`, every patch repeated `times` times.
struct PatchGrid {
  size_t side;
  size_t merge;
  size_t times;
};

/// Cuts an 8-bit RGB image [height, width, 3] into patches and looks every value up in `table` [3, 256]:
/// `target` is [patches, 3, times, side, side], blocks row-major, patches row-major in their block. Height
/// and width are multiples of side * merge. Throws Cancelled, INVALID_ARGUMENT.
void cut_patches(std::span<const uint8_t> source, std::span<float> target, size_t height, size_t width,
                 const PatchGrid& grid, std::span<const float> table, const std::stop_token& stop);

}  // namespace fsyn::imaging
