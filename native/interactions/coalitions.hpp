#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "interactions/kernel_set.hpp"

// Orders of coalitions and the checks of sizes that the processor's and the device's computations share.
namespace fsyn::interactions {

/// Number of coalitions of min_size..max_size out of `players`; they are ordered by size, then
/// lexicographically by their ascending players.
[[nodiscard]] std::size_t coalition_count(int players, int min_size, int max_size);

/// Calls visit(mask) for every coalition of `size` players, lexicographically by ascending players.
template <class Visit>
void for_each_coalition(int players, int size, const Visit& visit) {
  std::array<int, kMaxPlayers> chosen{};
  std::size_t mask = 0;
  for (int i = 0; i < size; ++i) {
    chosen[static_cast<std::size_t>(i)] = i;
    mask |= std::size_t{1} << i;
  }
  while (true) {
    visit(mask);
    int at = size - 1;
    while (at >= 0 && chosen[static_cast<std::size_t>(at)] == players - size + at) --at;
    if (at < 0) return;
    int next = chosen[static_cast<std::size_t>(at)] + 1;
    for (int i = at; i < size; ++i) mask &= ~(std::size_t{1} << chosen[static_cast<std::size_t>(i)]);
    for (int i = at; i < size; ++i, ++next) {
      chosen[static_cast<std::size_t>(i)] = next;
      mask |= std::size_t{1} << next;
    }
  }
}

/// Throws std::invalid_argument unless players is in least..kMaxPlayers.
void check_players(int players, int least);

/// Throws std::invalid_argument unless least <= min_size <= max_size <= players and there are `orders` rows
/// of players + 1 weights.
void check_orders(int players, int min_size, int max_size, int least, std::size_t weights);

/// Throws std::invalid_argument unless there are players - 1 pair weights and none or players single weights.
void check_pair_sizes(int players, std::span<const double> pair_weights,
                      std::span<const double> single_weights);

}  // namespace fsyn::interactions
