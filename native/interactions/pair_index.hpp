#pragma once

#include <span>
#include <vector>

#include "interactions/transform.hpp"

namespace fsyn::interactions {

/// All pairs, and optionally all single players, of one index.
struct PairIndex {
  std::vector<double> pairs;    ///< [players][players], symmetric, zero on the diagonal
  std::vector<double> singles;  ///< [players], or empty
};

/// I(ij) = sum over T without i and j of pair_weights[|T|] (v(T+i+j) - v(T+i) - v(T+j) + v(T)) for every
/// pair, and, when single_weights is not empty, I(i) = sum over T without i of single_weights[|T|] (v(T+i) -
/// v(T)) for every player.
///
/// One read of the table and no copy of it: about 10 operations per value, against 2^(n-2) per pair of the
/// definition. table has 2^players values; players in 1..kMaxPlayers; pair_weights has max(players - 1, 0)
/// entries, single_weights 0 or players. The result depends neither on the threads nor, but for rounding, on
/// the kernels.
template <class T>
[[nodiscard]] PairIndex pair_index(const T* table, int players, std::span<const double> pair_weights,
                                   std::span<const double> single_weights, const Execution& execution = {});

extern template PairIndex pair_index<double>(const double*, int, std::span<const double>,
                                             std::span<const double>, const Execution&);
extern template PairIndex pair_index<float>(const float*, int, std::span<const double>,
                                            std::span<const double>, const Execution&);

}  // namespace fsyn::interactions
