// Pixel masks and log-probabilities against plain definitions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "masking/pixel_mask.hpp"
#include "scoring/log_probability.hpp"

namespace {

using namespace fsyn;
using tests::check;
using tests::check_code;

void test_masking() {
  std::mt19937 generator(7);
  for (const size_t size : {0, 1, 15, 16, 17, 1000}) {
    const int players = 5;
    std::vector<int32_t> owner(size);
    std::vector<float> image(size);
    std::vector<float> baseline(size);
    for (size_t i = 0; i < size; ++i) {
      owner[i] = static_cast<int32_t>(generator() % (players + 1)) - 1;
      image[i] = static_cast<float>(i);
      baseline[i] = -static_cast<float>(i) - 1;
    }
    const masking::PixelMask mask(owner);
    for (unsigned state = 0; state < 1U << players; ++state) {
      std::vector<uint8_t> present(players);
      for (int p = 0; p < players; ++p) present[static_cast<size_t>(p)] = (state >> p) & 1U;
      std::vector<float> out(size);
      mask.apply(present, image, baseline, out);
      bool equal = true;
      for (size_t i = 0; i < size; ++i) {
        const bool shown = owner[i] < 0 || present[static_cast<size_t>(owner[i])] != 0;
        equal = equal && out[i] == (shown ? image[i] : baseline[i]);
      }
      check(equal, "mask of " + std::to_string(size) + " elements, state " + std::to_string(state));
    }
  }
  const std::vector<int32_t> two = {0, 1};
  check_code(
      [&] {
        std::vector<float> out(1);
        masking::PixelMask(two).apply(std::vector<uint8_t>(2), std::vector<float>(2), std::vector<float>(2),
                                      out);
      },
      ErrorCode::invalid_argument, "a mask of another size");
}

void test_scoring() {
  std::mt19937 generator(11);
  for (const size_t size : {1, 2, 15, 16, 17, 511, 512, 513, 32000, 151936}) {
    for (const float spread : {0.1F, 5.0F, 60.0F}) {
      std::normal_distribution<float> normal(3.0F, spread);
      std::vector<float> logits(size);
      for (float& value : logits) value = normal(generator);
      long double sum = 0;
      const float largest = *std::max_element(logits.begin(), logits.end());
      for (const float value : logits) sum += std::exp(static_cast<long double>(value) - largest);
      for (const size_t target : {size_t{0}, size / 2, size - 1}) {
        const long double expected = static_cast<long double>(logits[target]) - largest - std::log(sum);
        const float got = scoring::log_probability(logits, target);
        // The result is rounded to float32 (6e-8 relative); the sum's own error stays below 1e-6.
        const long double allowed = 1e-6L + 6e-8L * std::abs(expected);
        check(std::abs(got - expected) <= allowed, "log-probability of " + std::to_string(size) + " logits");
      }
    }
  }
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> masked = {0, -kInfinity, 0};
  check(scoring::log_probability(masked, 1) == -kInfinity,
        "an impossible token has log-probability -infinity");
  check(std::abs(scoring::log_probability(masked, 0) + std::log(2.0F)) < 1e-6F, "-infinity takes no mass");
  for (const float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    const std::vector<float> logits = {0, bad, 1};
    check_code([&] { (void)scoring::log_probability(logits, 0); }, ErrorCode::inference,
               "logits that are no numbers");
  }
  check_code([&] { (void)scoring::log_probability(masked, 3); }, ErrorCode::invalid_argument,
             "a target outside the row");
}

}  // namespace

int main() {
  return tests::run([] {
    test_masking();
    test_scoring();
  });
}
