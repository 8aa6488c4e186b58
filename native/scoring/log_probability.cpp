#include "scoring/log_probability.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "errors.hpp"

namespace fsyn::scoring {

namespace {

constexpr size_t kLanes = 16;

/// exp(x) for x <= 0, relative error below 2e-7; 0 below -87. Plain arithmetic, so that compilers vectorise
/// the loop.
inline float exp_non_positive(float x) {
  constexpr float kLog2E = 1.44269504088896341F;
  // ln 2 in two parts: the product with the integer part stays exact.
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float clamped = x < -87.0F ? -87.0F : x;
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const float scale = std::bit_cast<float>((exponent + 127) << 23);
  return x < -87.0F ? 0.0F : p * scale;
}

float row_maximum(std::span<const float> logits) {
  std::array<float, kLanes> lanes{};
  lanes.fill(-std::numeric_limits<float>::infinity());
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = std::max(lanes[lane], logits[i + lane]);
  }
  float largest = *std::max_element(lanes.begin(), lanes.end());
  for (size_t i = whole; i < logits.size(); ++i) largest = std::max(largest, logits[i]);
  return largest;
}

/// Sum of exp(logits - largest) of a short block, in lanes.
float block_sum(std::span<const float> logits, float largest) {
  std::array<float, kLanes> lanes{};
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += exp_non_positive(logits[i + lane] - largest);
  }
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  for (size_t i = whole; i < logits.size(); ++i) sum += exp_non_positive(logits[i] - largest);
  return sum;
}

}  // namespace

void require_targets(std::span<const int64_t> targets, size_t vocabulary) {
  for (const int64_t target : targets) {
    if (target < 0 || static_cast<size_t>(target) >= vocabulary) {
      throw Error(ErrorCode::invalid_argument, "The scored token is not in the vocabulary.");
    }
  }
}

void require_number(double score) {
  if (std::isnan(score))
    throw Error(ErrorCode::inference, "The model's logits contain values that are not numbers.");
}

float log_probability(std::span<const float> logits, size_t target) {
  constexpr size_t kBlock = 512;
  const int64_t targets[] = {static_cast<int64_t>(target)};
  require_targets(targets, logits.size());
  const float largest = row_maximum(logits);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); i += kBlock) {
    sum += static_cast<double>(block_sum(logits.subspan(i, std::min(kBlock, logits.size() - i)), largest));
  }
  const double result = static_cast<double>(logits[target]) - static_cast<double>(largest) - std::log(sum);
  // A NaN logit makes the sum NaN; the maximum alone would hide it.
  require_number(result);
  return static_cast<float>(result);
}

}  // namespace fsyn::scoring
