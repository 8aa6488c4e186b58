#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "interactions/transform_kinds.hpp"

namespace fsyn::interactions {

/// Largest number of players of a value table.
inline constexpr int kMaxPlayers = 30;

/// Kernels of one transform for one element type.
template <class T>
struct TransformKernels {
  /// Applies all `bits` lowest bits to x[0 .. 2^bits).
  void (*block)(T* x, int bits, double p) = nullptr;
  /// Applies `bits` (1..4) bits whose lowest has stride `stride` to the columns [begin, end) of x[0 .. stride
  /// << bits). begin and end are multiples of 16, or 0 and stride.
  void (*rows)(T* x, std::size_t stride, int bits, std::size_t begin, std::size_t end, double p) = nullptr;
  /// Most bits that one call of `rows` should take.
  int row_bits = 3;
};

/// The all-pairs kernel splits the bits of an index: bits 3 and 4 are "mid" (their four values are combined
/// at once), bits 0..2 and 5..9 are "low", the rest is "high" and numbers the groups.
inline constexpr int kPairLowBits = 8;
inline constexpr int kPairMidBits = 2;
inline constexpr int kPairFirstMid = 3;
inline constexpr std::size_t kPairBlock = std::size_t{1} << kPairLowBits;  ///< low parts of a group

/// Size-dependent weights of the all-pairs kernel. Row s holds, for the lanes l of a vector, the weight of a
/// coalition of size s + popcount(l); rows past n are zero.
struct PairWeights {
  static constexpr int kRows = kMaxPlayers + 8;
  static constexpr int kLanes = 8;
  alignas(64) std::array<std::array<double, kLanes>, kRows> alpha{};  ///< pairs: sums over all coalitions
  alignas(64)
      std::array<std::array<double, kLanes>, kRows> alpha_single{};  ///< singles: sums over all coalitions
  alignas(64)
      std::array<std::array<double, kLanes>, kRows> beta{};  ///< pairs: sums over coalitions with one player
  alignas(
      64) std::array<std::array<double, kLanes>, kRows> gamma{};  ///< pairs: sums over coalitions with both
  alignas(64) std::array<std::array<double, kLanes>,
                         kRows> single{};  ///< singles: sums over coalitions with the player
};

/// What one chunk of groups accumulates. h is the number of set bits above the low and mid ones.
struct PairPartial {
  double* by_size = nullptr;  ///< [n - low - mid + 3][2^low]: plain sums by the size of the high and mid part
  double* mid_low = nullptr;  ///< [mid][2^low]: gamma-weighted sums over coalitions that contain a mid bit
  double* cross = nullptr;    ///< [n - low - mid][low]: gamma-weighted sums, high bit x low bit
  double mid_mid = 0;         ///< gamma-weighted sum over coalitions that contain both mid bits
  std::array<double, kPairMidBits> mid_beta{};  ///< beta-weighted sums over coalitions that contain a mid bit
  std::array<double, kPairMidBits> mid_single{};  ///< the same for the weights of singles
};

/// One value per group, written by the kernel: sums over the whole group.
struct PairGroups {
  double* gamma = nullptr;
  std::array<double*, kPairMidBits> gamma_mid{};  ///< only the coalitions that contain the mid bit
  double* beta = nullptr;
  double* single = nullptr;  ///< null when singles are not wanted
};

template <class T>
using PairKernel = void (*)(const T* table, double offset, std::size_t begin, std::size_t end,
                            const PairWeights& weights, PairPartial& partial, const PairGroups& groups);

/// What blocked reflections need. Matrices are columns of `rows` values, `stride` apart; rows is a multiple
/// of 8.
struct MatrixKernels {
  /// out[j * left_count + k] += sum over r of left[k][r] * right[j][r]. The same bytes for a column however
  /// many there are.
  void (*dots)(const double* left, std::size_t left_count, const double* right, std::size_t right_count,
               std::size_t stride, std::size_t rows, double* out) = nullptr;
  /// right[j][r] -= sum over k of left[k][r] * factors[j * left_count + k].
  void (*subtract)(const double* left, std::size_t left_count, double* right, std::size_t right_count,
                   std::size_t stride, std::size_t rows, const double* factors) = nullptr;
};

/// All kernels of one instruction set.
struct KernelSet {
  std::string_view name;
  std::array<TransformKernels<double>, kTransformCount> f64;
  std::array<TransformKernels<float>, kTransformCount> f32;
  PairKernel<double> pairs_f64 = nullptr;
  PairKernel<float> pairs_f32 = nullptr;
  MatrixKernels matrix;

  template <class T>
  [[nodiscard]] const TransformKernels<T>& transform(Transform kind) const noexcept {
    if constexpr (sizeof(T) == sizeof(double)) {
      return f64[number_of(kind)];
    } else {
      return f32[number_of(kind)];
    }
  }
  template <class T>
  [[nodiscard]] PairKernel<T> pairs() const noexcept {
    if constexpr (sizeof(T) == sizeof(double)) {
      return pairs_f64;
    } else {
      return pairs_f32;
    }
  }
};

/// The sets that this processor can run, fastest first; the last is always "portable".
[[nodiscard]] std::span<const KernelSet* const> kernel_sets() noexcept;

/// The set called `name` ("avx512", "avx2", "neon", "portable"); for an empty name the one that the
/// environment variable FSYN_KERNELS names, or else the fastest. Throws std::invalid_argument for a set that
/// this processor cannot run.
[[nodiscard]] const KernelSet& kernel_set(std::string_view name = {});

/// One per instruction set; null where the compiler or the architecture cannot make it.
[[nodiscard]] const KernelSet* portable_kernels() noexcept;
[[nodiscard]] const KernelSet* avx2_kernels() noexcept;
[[nodiscard]] const KernelSet* avx512_kernels() noexcept;
[[nodiscard]] const KernelSet* neon_kernels() noexcept;

}  // namespace fsyn::interactions
