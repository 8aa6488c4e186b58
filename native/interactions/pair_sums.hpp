#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "interactions/pair_index.hpp"

// What the kernels of the processor and of the CUDA plugin share: how the definition is regrouped, and how
// its sums are put together.
namespace fsyn::interactions {

/// The definition regrouped by coalition: I(ij) = A + B_i + B_j + C_ij with A = sum alpha v over all
/// coalitions, B_i = sum beta v over those with i, C_ij = sum gamma v over those with both; I(i) = A1 + sum
/// single v over those with i.
struct SizeWeights {
  std::array<double, kMaxPlayers + 1> alpha{};
  std::array<double, kMaxPlayers + 1> beta{};
  std::array<double, kMaxPlayers + 1> gamma{};
  std::array<double, kMaxPlayers + 1> alpha_single{};
  std::array<double, kMaxPlayers + 1> single{};
};

[[nodiscard]] SizeWeights size_weights(int players, std::span<const double> pair,
                                       std::span<const double> single);

/// out[b] += sum of table[S] over the S that contain bit b, by halving the table on its top bit. Destroys the
/// table.
void add_singles(std::span<double> table, int bits, double* out);

/// out[c * stride + b] += sum of table[S] over the S that contain bits c < b. Destroys the table.
void add_pairs(std::span<double> table, int bits, double* out, std::size_t stride);

/// A, B, C and the sums for singles, before they are put together.
struct PairSums {
  explicit PairSums(int players)
      : n(static_cast<std::size_t>(players)), single_with(n, 0.0), with(n, 0.0), with_both(n * n, 0.0) {}
  void add_both(std::size_t i, std::size_t j, double value) {
    with_both[std::min(i, j) * n + std::max(i, j)] += value;
  }

  std::size_t n;
  double all = 0;
  double single_all = 0;
  std::vector<double> single_with;
  std::vector<double> with;
  std::vector<double> with_both;  ///< [n][n], entries i < j
};

[[nodiscard]] PairIndex assemble(const PairSums& sums, bool singles);

}  // namespace fsyn::interactions
