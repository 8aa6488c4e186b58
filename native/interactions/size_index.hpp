#pragma once

#include <span>
#include <vector>

#include "interactions/coalitions.hpp"
#include "interactions/transform.hpp"

namespace fsyn::interactions {

/// I(S) = sum over T>=S of weights[s][|T|] m(T), m the dividends of the table, for every S with min_size <= s
/// <= max_size (Grabisch and Roubens 1999, "distribution weights"). Every index whose weights depend on sizes
/// only has this form.
///
/// table: 2^players values, read only; weights: [max_size - min_size + 1][players + 1]. O((orders + 1)
/// players 2^players) and two tables of doubles.
template <class T>
[[nodiscard]] std::vector<double> dividend_index(const T* table, int players, int min_size, int max_size,
                                                 std::span<const double> weights,
                                                 const Execution& execution = {});

/// G(S) = sum over T outside S of weights[s][|T|] (v(T+S) - v(T)) for every S with min_size <= s <= max_size,
/// min_size >= 1 (generalised values of Marichal 2000; joint Shapley values). weights: [orders][players + 1];
/// same cost twice.
template <class T>
[[nodiscard]] std::vector<double> block_value_index(const T* table, int players, int min_size, int max_size,
                                                    std::span<const double> weights,
                                                    const Execution& execution = {});

/// sum over T of weights[|T|] v(T).
template <class T>
[[nodiscard]] double size_weighted_sum(const T* table, int players, std::span<const double> weights);

/// Index of the first value that is not finite, or 2^players.
template <class T>
[[nodiscard]] std::size_t first_not_finite(const T* table, std::size_t count);

}  // namespace fsyn::interactions
