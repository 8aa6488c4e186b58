#pragma once

#include <bit>
#include <cstdint>

namespace fsyn::inference {

/// Value of IEEE half precision bits.
[[nodiscard]] inline float half_to_float(uint16_t bits) noexcept {
  const uint32_t sign = (bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1FU;
  const uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 0xFFU : exponent + 112;
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

/// Nearest half precision value, ties to even; overflow gives infinity.
[[nodiscard]] inline uint16_t float_to_half(float value) noexcept {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x33000001U) return sign;
  const uint32_t exponent = magnitude >> 23;
  // Below 2^-14 the half is subnormal: the significand with its hidden bit moves further right.
  const uint32_t shift = exponent < 113 ? 126 - exponent : 13;
  const uint32_t significand =
      exponent < 113 ? (magnitude & 0x7FFFFFU) | 0x800000U : magnitude - (112U << 23);
  const uint32_t kept = significand >> shift;
  const uint32_t rest = significand & ((1U << shift) - 1);
  const uint32_t middle = 1U << (shift - 1);
  const bool up = rest > middle || (rest == middle && (kept & 1U) != 0);
  return static_cast<uint16_t>(sign | (kept + (up ? 1U : 0U)));
}

}  // namespace fsyn::inference
