#include "imaging/resample.hpp"

#include <algorithm>
#include <vector>

#include "errors.hpp"
#include "games/parallel.hpp"

namespace fsyn::imaging {

namespace {

constexpr size_t kChannels = 3;
constexpr int kPrecision = 22;
constexpr int32_t kHalf = int32_t{1} << (kPrecision - 1);

uint8_t rounded(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

void require_taps(const Taps& taps, size_t length) {
  bool fits = taps.count.size() == taps.outputs() && taps.weights.size() == taps.outputs() * taps.size;
  for (size_t i = 0; fits && i < taps.outputs(); ++i) {
    fits = taps.first[i] >= 0 && taps.count[i] >= 0 && static_cast<size_t>(taps.count[i]) <= taps.size &&
           static_cast<size_t>(taps.first[i]) + static_cast<size_t>(taps.count[i]) <= length;
  }
  if (!fits) throw Error(ErrorCode::invalid_argument, "A resampling filter reaches beyond the image.");
}

void resample_row(const uint8_t* source, uint8_t* target, const Taps& taps) {
  for (size_t i = 0; i < taps.outputs(); ++i) {
    const uint8_t* pixel = source + static_cast<size_t>(taps.first[i]) * kChannels;
    const int32_t* weights = taps.weights.data() + i * taps.size;
    int32_t sums[kChannels] = {kHalf, kHalf, kHalf};
    for (int32_t k = 0; k < taps.count[i]; ++k, pixel += kChannels) {
      for (size_t c = 0; c < kChannels; ++c) sums[c] += pixel[c] * weights[k];
    }
    for (size_t c = 0; c < kChannels; ++c) target[i * kChannels + c] = rounded(sums[c]);
  }
}

/// One output row from the rows under its taps; `sums` is scratch of `stride` values.
void resample_into_row(const uint8_t* source, uint8_t* target, size_t stride, const Taps& taps, size_t output,
                       std::vector<int32_t>& sums) {
  std::fill(sums.begin(), sums.end(), kHalf);
  const uint8_t* row = source + static_cast<size_t>(taps.first[output]) * stride;
  for (int32_t k = 0; k < taps.count[output]; ++k, row += stride) {
    const int32_t weight = taps.weights[output * taps.size + static_cast<size_t>(k)];
    for (size_t i = 0; i < stride; ++i) sums[i] += row[i] * weight;
  }
  for (size_t i = 0; i < stride; ++i) target[i] = rounded(sums[i]);
}

}  // namespace

void resample(std::span<const uint8_t> source, std::span<uint8_t> target, size_t height, size_t width,
              const Taps& columns, const Taps& rows, int threads, const std::stop_token& stop) {
  const bool across = columns.outputs() > 0;
  const bool down = rows.outputs() > 0;
  const size_t new_width = across ? columns.outputs() : width;
  const size_t new_height = down ? rows.outputs() : height;
  const size_t stride = new_width * kChannels;
  if (source.size() != height * width * kChannels || target.size() != new_height * stride ||
      (!across && !down)) {
    throw Error(ErrorCode::invalid_argument, "An image's values do not fit its size.");
  }
  require_taps(columns, width);
  require_taps(rows, height);
  std::vector<uint8_t> between(across && down ? height * stride : 0);
  if (across) {
    uint8_t* narrowed = down ? between.data() : target.data();
    games::parallel_for(height, threads, [&](size_t y) {
      throw_if_stopped(stop);
      resample_row(source.data() + y * width * kChannels, narrowed + y * stride, columns);
    });
  }
  if (!down) return;
  const uint8_t* from = across ? between.data() : source.data();
  const size_t bands = std::min(new_height, static_cast<size_t>(std::max(threads, 1)));
  games::parallel_for(bands, threads, [&](size_t band) {
    std::vector<int32_t> sums(stride);
    for (size_t y = new_height * band / bands; y < new_height * (band + 1) / bands; ++y) {
      throw_if_stopped(stop);
      resample_into_row(from, target.data() + y * stride, stride, rows, y, sums);
    }
  });
}

}  // namespace fsyn::imaging
