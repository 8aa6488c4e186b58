#pragma once

#include <span>
#include <vector>

#include "cuda/interactions_client.hpp"

// The computations of native/interactions on a device: the same arguments, checks and results, but for
// rounding. The table stays in host memory; it is copied to the device, and what is asked for comes back.
// Stop requests are seen between pieces of a copy and between orders.
namespace fsyn::cuda {

/// interactions::transform. Two float types, one arithmetic: a float table is transformed in double and
/// rounded once.
template <class T>
void transform(const Interactions& device, T* x, int players, interactions::Transform kind, double p,
               const games::Control& control = {});

/// interactions::pair_index.
template <class T>
[[nodiscard]] interactions::PairIndex pair_index(const Interactions& device, const T* table, int players,
                                                 std::span<const double> pair_weights,
                                                 std::span<const double> single_weights,
                                                 const games::Control& control = {});

/// interactions::dividend_index.
template <class T>
[[nodiscard]] std::vector<double> dividend_index(const Interactions& device, const T* table, int players,
                                                 int min_size, int max_size, std::span<const double> weights,
                                                 const games::Control& control = {});

/// interactions::block_value_index.
template <class T>
[[nodiscard]] std::vector<double> block_value_index(const Interactions& device, const T* table, int players,
                                                    int min_size, int max_size,
                                                    std::span<const double> weights,
                                                    const games::Control& control = {});

}  // namespace fsyn::cuda
