// The CUDA kernels against their CPU twins, through the plugin's table, and their speed against a device
// copy:
//
//   cuda_plugin_test <plugin library> [--bench]
//
// Ends with "skipped" where there is no device.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "cuda/plugin_library.hpp"
#include "errors.hpp"
#include "masking/pixel_mask.hpp"
#include "median.hpp"
#include "scoring/log_probability.hpp"

namespace {

using fsyn::tests::check;
using fsyn::tests::checks;
using fsyn::tests::failures;

const fsyn_cuda_plugin* plugin = nullptr;

void check_code(int code, const char* what) {
  check(code == 0, std::string(what) + ": " + plugin->last_error());
}

/// Device memory with a copy of host values.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : count_(values.size()) {
    check_code(plugin->allocate(&memory_, std::max<size_t>(1, count_) * sizeof(T)), "allocate");
    check_code(plugin->to_device(memory_, values.data(), count_ * sizeof(T), nullptr), "copy to the device");
  }
  ~DeviceArray() { plugin->release(memory_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* get() const { return static_cast<T*>(memory_); }
  [[nodiscard]] std::vector<T> host() const {
    std::vector<T> values(count_);
    check_code(plugin->to_host(values.data(), memory_, count_ * sizeof(T), nullptr), "copy to the host");
    check_code(plugin->synchronise_stream(nullptr), "synchronise");
    return values;
  }

 private:
  void* memory_ = nullptr;
  size_t count_;
};

void test_masking(size_t elements, size_t states) {
  constexpr size_t kPlayers = 37;
  std::mt19937 generator(3);
  std::vector<int32_t> owner(elements);
  std::vector<float> image(elements);
  std::vector<float> baseline(elements);
  for (size_t i = 0; i < elements; ++i) {
    owner[i] = static_cast<int32_t>(generator() % (kPlayers + 1)) - 1;
    image[i] = static_cast<float>(generator() % 1000);
    baseline[i] = -static_cast<float>(generator() % 1000);
  }
  std::vector<uint8_t> present(states * kPlayers);
  for (uint8_t& bit : present) bit = generator() % 2;
  const DeviceArray<int32_t> device_owner(owner);
  const DeviceArray<uint8_t> device_present(present);
  const DeviceArray<float> device_image(image);
  const DeviceArray<float> device_baseline(baseline);
  const DeviceArray<float> out{std::vector<float>(states * elements)};
  check_code(plugin->mask_pixels(device_owner.get(), device_present.get(), device_image.get(),
                                 device_baseline.get(), out.get(), states, kPlayers, elements, nullptr),
             "mask_pixels");
  const fsyn::masking::PixelMask mask(owner);
  std::vector<float> expected(elements);
  const std::vector<float> got = out.host();
  for (size_t s = 0; s < states; ++s) {
    mask.apply(std::span(present).subspan(s * kPlayers, kPlayers), image, baseline, expected);
    check(
        std::equal(expected.begin(), expected.end(), got.begin() + static_cast<std::ptrdiff_t>(s * elements)),
        "masked pixels of state " + std::to_string(s));
  }
}

void test_scoring(size_t vocabulary) {
  constexpr size_t kRows = 9;
  std::mt19937 generator(5);
  std::normal_distribution<float> normal(0.0F, 6.0F);
  std::vector<float> logits(kRows * vocabulary);
  for (float& value : logits) value = normal(generator);
  std::vector<int64_t> targets(kRows);
  for (int64_t& target : targets) target = static_cast<int64_t>(generator() % vocabulary);
  const DeviceArray<float> device_logits(logits);
  const DeviceArray<int64_t> device_targets(targets);
  const DeviceArray<float> out{std::vector<float>(kRows)};
  check_code(plugin->log_probabilities(device_logits.get(), device_targets.get(), out.get(), kRows,
                                       vocabulary, nullptr),
             "log_probabilities");
  const std::vector<float> got = out.host();
  for (size_t r = 0; r < kRows; ++r) {
    const float expected = fsyn::scoring::log_probability(
        std::span(logits).subspan(r * vocabulary, vocabulary), static_cast<size_t>(targets[r]));
    // Both sum float32 exponentials, in different orders.
    check(std::abs(got[r] - expected) <= 1e-5F, "log-probability of row " + std::to_string(r));
  }
}

double median_ms(const std::function<void()>& run) {
  return fsyn::tests::median_ms(run, [] { check_code(plugin->synchronise(), "synchronise"); });
}

/// Bytes per millisecond, read and written, of copying a table of 2^26 values to another.
double copy_rate() {
  constexpr int kPlayers = 26;
  fsyn_cuda_table* from = nullptr;
  fsyn_cuda_table* to = nullptr;
  check_code(plugin->table_create(kPlayers, &from), "table");
  check_code(plugin->table_create(kPlayers, &to), "table");
  const double ms = median_ms([&] { check_code(plugin->table_copy(from, to), "copy"); });
  plugin->table_destroy(from);
  plugin->table_destroy(to);
  return std::ldexp(16.0, kPlayers) / ms;
}

void report(const char* what, double bytes, double ms, double rate) {
  std::printf("| %s | %.1f | %.4f | %.0f | %.2f |\n", what, bytes / 1e6, ms, bytes / ms / 1e6,
              ms / (bytes / rate));
}

/// A batch of image states and one of logits of real models against what copying as many bytes takes.
void bench() {
  const double rate = copy_rate();
  std::printf("device copy: %.0f GB/s read + written\n\n", rate / 1e6);
  std::printf("| kernel | MB | median ms | GB/s | over the floor |\n|---|---:|---:|---:|---:|\n");
  constexpr size_t kPlayers = 64;
  for (const size_t states : {8, 64}) {
    const size_t elements = size_t{336} * 336 * 3;
    const DeviceArray<int32_t> owner{std::vector<int32_t>(elements, 3)};
    const DeviceArray<uint8_t> present{std::vector<uint8_t>(states * kPlayers, 1)};
    const DeviceArray<float> image{std::vector<float>(elements)};
    const DeviceArray<float> baseline{std::vector<float>(elements)};
    const DeviceArray<float> out{std::vector<float>(states * elements)};
    const double ms = median_ms([&] {
      check_code(plugin->mask_pixels(owner.get(), present.get(), image.get(), baseline.get(), out.get(),
                                     states, kPlayers, elements, nullptr),
                 "mask_pixels");
    });
    const auto name = "mask_pixels, " + std::to_string(states) + " states of 336 x 336 x 3";
    report(name.c_str(), static_cast<double>((states + 3) * elements * sizeof(float)), ms, rate);
  }
  for (const size_t vocabulary : {size_t{32000}, size_t{151936}}) {
    constexpr size_t kRows = 256;
    const DeviceArray<float> logits{std::vector<float>(kRows * vocabulary)};
    const DeviceArray<int64_t> targets{std::vector<int64_t>(kRows)};
    const DeviceArray<float> out{std::vector<float>(kRows)};
    const double ms = median_ms([&] {
      check_code(
          plugin->log_probabilities(logits.get(), targets.get(), out.get(), kRows, vocabulary, nullptr),
          "log_probabilities");
    });
    const auto name = "log_probabilities, 256 rows of " + std::to_string(vocabulary);
    report(name.c_str(), static_cast<double>(kRows * vocabulary * sizeof(float)), ms, rate);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool timed = argc == 3 && std::strcmp(argv[2], "--bench") == 0;
  if (argc != 2 && !timed) {
    std::fprintf(stderr, "usage: cuda_plugin_test <plugin library> [--bench]\n");
    return 2;
  }
  try {
    plugin = &fsyn::cuda::load_plugin_table(argv[1]);
  } catch (const fsyn::Error& error) {
    std::fprintf(stderr, "FAILED: %s\n", error.what());
    return 1;
  }
  if (plugin->device_count() <= 0) {
    std::printf("%d checks, %d failures; kernels skipped: %s\n", checks, failures, plugin->last_error());
    return 0;
  }
  for (const size_t elements : {1, 3, 4, 1000, 336 * 336 * 3}) {
    for (const size_t states : {1, 7, 20}) test_masking(elements, states);
  }
  for (const size_t vocabulary : {1, 2, 31, 512, 513, 32000, 151936}) test_scoring(vocabulary);
  if (timed && failures == 0) bench();
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
