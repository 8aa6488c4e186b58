#include "imaging/blur.hpp"

#include <algorithm>
#include <vector>

#include "errors.hpp"
#include "games/parallel.hpp"

namespace fsyn::imaging {

namespace {

constexpr size_t kChannels = 3;
constexpr uint32_t kHalf = 1U << 23U;
/// Values of a row that one task takes down a column: some cache lines, so that tasks do not share any.
constexpr size_t kColumnValues = 768;

uint8_t filtered(uint32_t sum, uint32_t far, const BoxFilter& filter) {
  return static_cast<uint8_t>((sum * filter.weight + far * filter.far_weight + kHalf) >> 24U);
}

/// One pass along a row of `width` pixels; `copy` holds the row as it was.
void blur_row(const uint8_t* copy, uint8_t* target, size_t width, const BoxFilter& filter) {
  const size_t last = width - 1;
  for (size_t c = 0; c < kChannels; ++c) {
    const auto at = [&](size_t x) -> uint32_t { return copy[x * kChannels + c]; };
    uint32_t sum = at(0) * static_cast<uint32_t>(filter.whole + 1);
    for (size_t x = 0; x < filter.whole; ++x) sum += at(std::min(x, last));
    for (size_t x = 0; x < width; ++x) {
      const uint32_t left = at(x > filter.whole ? x - filter.whole - 1 : 0);
      sum += at(std::min(last, x + filter.whole)) - left;
      const uint32_t far = left + at(std::min(last, x + filter.whole + 1));
      target[x * kChannels + c] = filtered(sum, far, filter);
    }
  }
}

/// One pass down the columns [begin, end) (in values) of an image of rows of `stride` values.
void blur_columns(const uint8_t* source, uint8_t* target, size_t height, size_t stride, size_t begin,
                  size_t end, const BoxFilter& filter, const std::stop_token& stop) {
  const size_t last = height - 1;
  const auto row = [&](size_t y) { return source + y * stride; };
  std::vector<uint32_t> sums(end - begin);
  for (size_t i = begin; i < end; ++i) sums[i - begin] = row(0)[i] * static_cast<uint32_t>(filter.whole + 1);
  for (size_t y = 0; y < filter.whole; ++y) {
    const uint8_t* values = row(std::min(y, last));
    for (size_t i = begin; i < end; ++i) sums[i - begin] += values[i];
  }
  for (size_t y = 0; y < height; ++y) {
    if (y % 64 == 0) throw_if_stopped(stop);
    const uint8_t* left = row(y > filter.whole ? y - filter.whole - 1 : 0);
    const uint8_t* right = row(std::min(last, y + filter.whole));
    const uint8_t* beyond = row(std::min(last, y + filter.whole + 1));
    uint8_t* out = target + y * stride;
    for (size_t i = begin; i < end; ++i) {
      uint32_t& sum = sums[i - begin];
      sum += static_cast<uint32_t>(right[i]) - left[i];
      out[i] = filtered(sum, static_cast<uint32_t>(left[i]) + beyond[i], filter);
    }
  }
}

}  // namespace

void box_blur(std::span<const uint8_t> source, std::span<uint8_t> target, size_t height, size_t width,
              const BoxFilter& filter, int passes, int threads, const std::stop_token& stop) {
  const size_t stride = width * kChannels;
  if (height < 1 || width < 1 || source.size() != height * stride || target.size() != source.size() ||
      passes < 1) {
    throw Error(ErrorCode::invalid_argument, "An image's values do not fit its size.");
  }
  games::parallel_for(height, threads, [&](size_t y) {
    throw_if_stopped(stop);
    std::vector<uint8_t> copy(source.begin() + static_cast<std::ptrdiff_t>(y * stride),
                              source.begin() + static_cast<std::ptrdiff_t>((y + 1) * stride));
    uint8_t* row = target.data() + y * stride;
    for (int pass = 0; pass < passes; ++pass) {
      blur_row(copy.data(), row, width, filter);
      std::copy_n(row, stride, copy.data());
    }
  });
  std::vector<uint8_t> other(source.size());
  uint8_t* from = target.data();
  uint8_t* to = other.data();
  for (int pass = 0; pass < passes; ++pass) {
    games::parallel_for((stride + kColumnValues - 1) / kColumnValues, threads, [&](size_t task) {
      const size_t begin = task * kColumnValues;
      blur_columns(from, to, height, stride, begin, std::min(stride, begin + kColumnValues), filter, stop);
    });
    std::swap(from, to);
  }
  if (from != target.data()) std::copy(other.begin(), other.end(), target.begin());
}

}  // namespace fsyn::imaging
