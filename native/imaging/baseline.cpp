#include "imaging/baseline.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "errors.hpp"

namespace fsyn::imaging {

namespace {

constexpr size_t kChannels = 3;
/// Values between two looks at the stop token.
constexpr size_t kPiece = kChannels << 16U;

/// Calls work(begin, end) on consecutive pieces of [0, size).
template <typename Work>
void for_each_piece(size_t size, const std::stop_token& stop, const Work& work) {
  for (size_t begin = 0; begin < size; begin += kPiece) {
    throw_if_stopped(stop);
    work(begin, std::min(begin + kPiece, size));
  }
}

uint32_t next_word(std::array<uint32_t, 4>& s) {
  const uint32_t result = std::rotl(s[1] * 5, 7) * 9;
  const uint32_t shifted = s[1] << 9U;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = std::rotl(s[3], 11);
  return result;
}

}  // namespace

void fill_mean(std::span<const uint8_t> source, std::span<uint8_t> target, const std::stop_token& stop) {
  if (source.empty() || source.size() % kChannels != 0 || target.size() != source.size())
    throw Error(ErrorCode::invalid_argument, "An image's values do not fit its size.");
  std::array<uint64_t, kChannels> sums{};
  for_each_piece(source.size(), stop, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i += kChannels) {
      for (size_t c = 0; c < kChannels; ++c) sums[c] += source[i + c];
    }
  });
  std::array<uint8_t, kChannels> colour{};
  const size_t count = source.size() / kChannels;
  const auto pixels = static_cast<double>(count);
  for (size_t c = 0; c < kChannels; ++c)
    colour[c] = static_cast<uint8_t>(std::floor(static_cast<double>(sums[c]) / pixels + 0.5));
  for_each_piece(target.size(), stop, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i += kChannels) {
      for (size_t c = 0; c < kChannels; ++c) target[i + c] = colour[c];
    }
  });
}

void fill_noise(std::array<uint32_t, 4> state, std::span<uint8_t> target, const std::stop_token& stop) {
  for_each_piece(target.size(), stop, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) target[i] = static_cast<uint8_t>(next_word(state) >> 24U);
  });
}

}  // namespace fsyn::imaging
