#include "imaging/patches.hpp"

#include <algorithm>

#include "errors.hpp"

namespace fsyn::imaging {

namespace {

constexpr size_t kChannels = 3;
constexpr size_t kValues = 256;

/// One channel of the patch whose first value is `source`, in an image of rows of `stride` values.
void cut_plane(const uint8_t* source, size_t stride, const float* table, size_t side, float* target) {
  for (size_t y = 0; y < side; ++y) {
    for (size_t x = 0; x < side; ++x) target[y * side + x] = table[source[y * stride + x * kChannels]];
  }
}

}  // namespace

void cut_patches(std::span<const uint8_t> source, std::span<float> target, size_t height, size_t width,
                 const PatchGrid& grid, std::span<const float> table, const std::stop_token& stop) {
  const auto [side, merge, times] = grid;
  const size_t block = side * merge;
  if (block < 1 || times < 1 || height < 1 || width < 1 || height % block != 0 || width % block != 0 ||
      source.size() != height * width * kChannels || target.size() != source.size() * times ||
      table.size() != kChannels * kValues)
    throw Error(ErrorCode::invalid_argument, "An image's values do not fit its size.");
  const size_t stride = width * kChannels;
  const size_t plane = side * side;
  const size_t block_columns = width / block;
  const size_t in_block = merge * merge;
  for (size_t n = 0; n < height / side * (width / side); ++n) {
    if (n % 64 == 0) throw_if_stopped(stop);
    const size_t top = (n / in_block / block_columns * merge + n % in_block / merge) * side;
    const size_t left = (n / in_block % block_columns * merge + n % merge) * side;
    for (size_t c = 0; c < kChannels; ++c) {
      float* out = target.data() + (n * kChannels + c) * times * plane;
      cut_plane(source.data() + top * stride + left * kChannels + c, stride, table.data() + c * kValues, side,
                out);
      for (size_t t = 1; t < times; ++t) std::copy_n(out, plane, out + t * plane);
    }
  }
}

}  // namespace fsyn::imaging
