// The CUDA kernels against their CPU twins, through the plugin's table: `cuda_plugin_test <plugin library>`.
// Ends with "skipped" where there is no device.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/plugin_library.hpp"
#include "errors.hpp"
#include "masking/pixel_mask.hpp"
#include "scoring/log_probability.hpp"

namespace {

int failures = 0;
int checks = 0;
const fsyn_cuda_plugin* plugin = nullptr;

void check(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: cuda_plugin_test <plugin library>\n");
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
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
