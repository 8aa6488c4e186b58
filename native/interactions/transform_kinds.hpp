#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace fsyn::interactions {

/// In-place linear maps over a table of 2^n values indexed by coalition bit mask. Every one is a tensor
/// product of a 2x2 map per player, which takes the pair (value without the player, value with the player)
/// to what is given below. The numbers are part of the CUDA plugin's interface; this file is the only one
/// that knows them, and C++17, which nvcc compiles.
enum class Transform : int {
  kMoebius,             ///< (a, b - a): values -> dividends, m(S) = sum over T<=S of (-1)^(|S|-|T|) v(T)
  kZeta,                ///< (a, b + a): dividends -> values, the inverse of kMoebius
  kCoMoebius,           ///< (b, b - a): values -> co-dividends, Co(S) = sum over T>=S of m(T)
  kInverseCoMoebius,    ///< (a - b, a): the inverse of kCoMoebius
  kSupersetSum,         ///< (a + b, b): y(S) = sum over T>=S of x(T)
  kSupersetDifference,  ///< (a - b, b): the inverse of kSupersetSum
  kWalshHadamard,       ///< (a + b, a - b): its own inverse up to the factor 2^n
  kBanzhaf,             ///< ((1 - p) a + p b, b - a): weighted Banzhaf index of every coalition
  kInverseBanzhaf,      ///< (a - p b, a + (1 - p) b): the inverse of kBanzhaf
};

/// What JavaScript calls them (lib/interactions/transforms.ts), by number.
inline constexpr std::array<std::string_view, 9> kTransformNames = {
    "moebius",       "zeta",    "coMoebius",     "inverseCoMoebius", "supersetSum", "supersetDifference",
    "walshHadamard", "banzhaf", "inverseBanzhaf"};
inline constexpr std::size_t kTransformCount = kTransformNames.size();

[[nodiscard]] constexpr std::size_t number_of(Transform kind) noexcept {
  return static_cast<std::size_t>(kind);
}
static_assert(number_of(Transform::kInverseBanzhaf) + 1 == kTransformCount);
static_assert(kTransformNames[number_of(Transform::kWalshHadamard)] == "walshHadamard");
static_assert(kTransformNames[number_of(Transform::kInverseBanzhaf)] == "inverseBanzhaf");

}  // namespace fsyn::interactions
