#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <stop_token>

namespace fsyn::imaging {

/// Fills `target` with the mean colour of an 8-bit RGB image, rounded half up; both have a multiple of three
/// values. Throws Cancelled, INVALID_ARGUMENT.
void fill_mean(std::span<const uint8_t> source, std::span<uint8_t> target, const std::stop_token& stop);

/// Fills `target` with the upper bytes of xoshiro128** words (Blackman & Vigna 2018) from a state that is not
/// zero: lib/statistics/random.ts in native code. Throws Cancelled.
void fill_noise(std::array<uint32_t, 4> state, std::span<uint8_t> target, const std::stop_token& stop);

}  // namespace fsyn::imaging
