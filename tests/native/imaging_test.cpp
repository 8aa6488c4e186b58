// Blur and resampling of 8-bit images against their plain definitions, on any number of threads; the
// agreement with Pillow is tested in tests/vlm/pixels.test.ts.
#include <algorithm>
#include <random>
#include <stop_token>
#include <string>
#include <vector>

#include "check.hpp"
#include "imaging/baseline.hpp"
#include "imaging/blur.hpp"
#include "imaging/patches.hpp"
#include "imaging/resample.hpp"

namespace {

using namespace fsyn;
using tests::check;
using tests::check_code;
using Image = std::vector<uint8_t>;

constexpr size_t kChannels = 3;

Image noise(size_t height, size_t width) {
  std::mt19937 generator(5);
  Image image(height * width * kChannels);
  for (uint8_t& value : image) value = static_cast<uint8_t>(generator());
  return image;
}

/// One pass along lines of `length` values that lie `step` apart, every output computed on its own.
Image plain_pass(const Image& source, size_t length, size_t step, const imaging::BoxFilter& filter) {
  Image target(source.size());
  for (size_t at = 0; at < source.size(); ++at) {
    const size_t place = at / step % length;
    const size_t line = at - place * step;
    const auto value = [&](int64_t i) -> uint64_t {
      const auto clamped = static_cast<size_t>(std::clamp<int64_t>(i, 0, static_cast<int64_t>(length) - 1));
      return source[line + clamped * step];
    };
    const auto centre = static_cast<int64_t>(place);
    const auto whole = static_cast<int64_t>(filter.whole);
    uint64_t sum = 0;
    for (int64_t i = centre - whole; i <= centre + whole; ++i) sum += value(i) * filter.weight;
    sum += (value(centre - whole - 1) + value(centre + whole + 1)) * filter.far_weight;
    target[at] = static_cast<uint8_t>((sum + (1U << 23U)) >> 24U);
  }
  return target;
}

void test_blur() {
  for (const auto& [height, width] : {std::pair<size_t, size_t>{1, 1}, {1, 9}, {7, 1}, {5, 300}, {40, 6}}) {
    for (const size_t whole : {size_t{0}, size_t{1}, size_t{4}, size_t{50}}) {
      const auto weight = static_cast<uint32_t>((1U << 24U) / (2 * whole + 2));
      const auto far = static_cast<uint32_t>(((1U << 24U) - (2 * whole + 1) * weight) / 2);
      const imaging::BoxFilter filter = {whole, weight, far};
      const Image image = noise(height, width);
      Image expected = image;
      for (int pass = 0; pass < 3; ++pass) expected = plain_pass(expected, width, kChannels, filter);
      for (int pass = 0; pass < 3; ++pass) expected = plain_pass(expected, height, width * kChannels, filter);
      for (const int threads : {1, 3}) {
        Image blurred(image.size());
        imaging::box_blur(image, blurred, height, width, filter, 3, threads, {});
        check(blurred == expected, "blur of " + std::to_string(height) + " x " + std::to_string(width) +
                                       ", reach " + std::to_string(whole));
      }
    }
  }
  Image small(3);
  check_code([&] { imaging::box_blur(small, small, 2, 1, {}, 1, 1, {}); }, ErrorCode::invalid_argument,
             "values that do not fit the size");
}

void test_fills() {
  const Image image = noise(37, 41);
  Image filled(image.size());
  imaging::fill_mean(image, filled, {});
  for (size_t i = 0; i < image.size(); ++i) {
    uint64_t sum = 0;
    for (size_t k = i % kChannels; k < image.size(); k += kChannels) sum += image[k];
    const size_t pixels = image.size() / kChannels;
    if (filled[i] != (2 * sum + pixels) / (2 * pixels)) {
      check(false, "mean colour");
      return;
    }
  }
  check(true, "mean colour");
  // Larger than a piece between two looks at the stop token; a prefix does not depend on the length.
  Image long_noise(700001);
  Image short_noise(1000);
  imaging::fill_noise({1, 2, 3, 4}, long_noise, {});
  imaging::fill_noise({1, 2, 3, 4}, short_noise, {});
  check(std::equal(short_noise.begin(), short_noise.end(), long_noise.begin()), "noise is one stream");
  check_code([&] { imaging::fill_mean(Image(4), filled, {}); }, ErrorCode::invalid_argument,
             "values that do not fit the size");
  std::stop_source stopped;
  stopped.request_stop();
  bool cancelled = false;
  try {
    imaging::fill_noise({1, 2, 3, 4}, long_noise, stopped.get_token());
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "noise stops");
}

void test_patches() {
  const size_t height = 12;
  const size_t width = 24;
  const imaging::PatchGrid grid = {3, 2, 2};
  const Image image = noise(height, width);
  std::vector<float> table(768);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(i) * 0.25F;
  std::vector<float> patches(image.size() * grid.times);
  imaging::cut_patches(image, patches, height, width, grid, table, {});
  bool equal = true;
  for (size_t y = 0; y < height; ++y) {
    for (size_t x = 0; x < width; ++x) {
      const size_t patch = (y / 6 * (width / 6) + x / 6) * 4 + y % 6 / 3 * 2 + x % 6 / 3;
      for (size_t c = 0; c < kChannels; ++c) {
        const float expected = table[c * 256 + image[(y * width + x) * kChannels + c]];
        for (size_t t = 0; t < 2; ++t)
          equal = equal && patches[((patch * 3 + c) * 2 + t) * 9 + y % 3 * 3 + x % 3] == expected;
      }
    }
  }
  check(equal, "patches in blocks");
  check_code([&] { imaging::cut_patches(image, patches, width, height + 1, grid, table, {}); },
             ErrorCode::invalid_argument, "values that do not fit the size");
}

/// Taps that reach over `reach` samples from a moving start, some weights negative.
struct RandomTaps {
  std::vector<int32_t> first;
  std::vector<int32_t> count;
  std::vector<int32_t> weights;
  size_t size;

  RandomTaps(size_t input, size_t output, size_t reach) : size(reach) {
    std::mt19937 generator(static_cast<unsigned>(input * 31 + output));
    for (size_t i = 0; i < output; ++i) {
      const size_t begin = i * input / output;
      first.push_back(static_cast<int32_t>(begin));
      count.push_back(static_cast<int32_t>(std::min(reach, input - begin)));
      for (size_t k = 0; k < reach; ++k) {
        weights.push_back(static_cast<int32_t>(generator() % (1U << 21U)) - (1 << 19));
      }
    }
  }
  [[nodiscard]] imaging::Taps view() const { return {size, first, count, weights}; }
};

Image plain_resample(const Image& source, size_t length, size_t step, const RandomTaps& taps) {
  const size_t output = taps.first.size();
  Image target(source.size() / length * output);
  for (size_t at = 0; at < target.size(); ++at) {
    const size_t place = at / step % output;
    const size_t line = at / (step * output) * step * length + at % step;
    int64_t sum = 1 << 21;
    for (size_t k = 0; k < static_cast<size_t>(taps.count[place]); ++k) {
      const size_t from = static_cast<size_t>(taps.first[place]) + k;
      sum += int64_t{source[line + from * step]} * taps.weights[place * taps.size + k];
    }
    target[at] = static_cast<uint8_t>(std::clamp<int64_t>(sum >> 22, 0, 255));
  }
  return target;
}

void test_resample() {
  const size_t height = 17;
  const size_t width = 23;
  const Image image = noise(height, width);
  const RandomTaps columns(width, 11, 4);
  const RandomTaps rows(height, 29, 3);
  for (const int threads : {1, 4}) {
    const Image narrow = plain_resample(image, width, kChannels, columns);
    Image out(narrow.size());
    imaging::resample(image, out, height, width, columns.view(), {}, threads, {});
    check(out == narrow, "columns only");
    const Image high = plain_resample(image, height, width * kChannels, rows);
    out.assign(high.size(), 0);
    imaging::resample(image, out, height, width, {}, rows.view(), threads, {});
    check(out == high, "rows only");
    const Image both = plain_resample(narrow, height, 11 * kChannels, rows);
    out.assign(both.size(), 0);
    imaging::resample(image, out, height, width, columns.view(), rows.view(), threads, {});
    check(out == both, "columns, then rows");
  }
  Image out(height * 11 * kChannels);
  const RandomTaps beyond(width + 1, 11, 4);
  check_code([&] { imaging::resample(image, out, height, 22, beyond.view(), {}, 1, {}); },
             ErrorCode::invalid_argument, "values that do not fit the size");
  std::vector<int32_t> first = columns.first;
  first.back() = static_cast<int32_t>(width);
  check_code(
      [&] {
        const imaging::Taps far = {columns.size, first, columns.count, columns.weights};
        imaging::resample(image, out, height, width, far, {}, 1, {});
      },
      ErrorCode::invalid_argument, "a filter that reaches beyond the image");
}

void test_stopping() {
  std::stop_source source;
  source.request_stop();
  const Image image = noise(4, 4);
  Image out(image.size());
  int cancelled = 0;
  try {
    imaging::box_blur(image, out, 4, 4, {1, 1U << 22U, 0}, 1, 2, source.get_token());
  } catch (const Cancelled&) {
    ++cancelled;
  }
  try {
    const RandomTaps taps(4, 4, 2);
    imaging::resample(image, out, 4, 4, taps.view(), {}, 2, source.get_token());
  } catch (const Cancelled&) {
    ++cancelled;
  }
  check(cancelled == 2, "both can be stopped");
}

}  // namespace

int main() {
  return tests::run([] {
    test_blur();
    test_fills();
    test_patches();
    test_resample();
    test_stopping();
  });
}
