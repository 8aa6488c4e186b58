#include "interactions/coalitions.hpp"

#include <stdexcept>
#include <string>

namespace fsyn::interactions {

std::size_t coalition_count(int players, int min_size, int max_size) {
  std::size_t total = 0;
  std::size_t choose = 1;
  for (int s = 0; s <= max_size; ++s) {
    if (s >= min_size) total += choose;
    choose = choose * static_cast<std::size_t>(players - s) / static_cast<std::size_t>(s + 1);
  }
  return total;
}

void check_players(int players, int least) {
  if (players < least || players > kMaxPlayers) {
    throw std::invalid_argument("Expected players in " + std::to_string(least) + ".." +
                                std::to_string(kMaxPlayers) + " but received " + std::to_string(players) +
                                ".");
  }
}

void check_orders(int players, int min_size, int max_size, int least, std::size_t weights) {
  check_players(players, 1);
  if (min_size < least || max_size < min_size || max_size > players) {
    throw std::invalid_argument("Expected orders within " + std::to_string(least) + ".." +
                                std::to_string(players) + " but received " + std::to_string(min_size) + ".." +
                                std::to_string(max_size) + ".");
  }
  const auto expected =
      static_cast<std::size_t>(max_size - min_size + 1) * (static_cast<std::size_t>(players) + 1);
  if (weights != expected) {
    throw std::invalid_argument("Expected " + std::to_string(expected) + " weights but received " +
                                std::to_string(weights) + ".");
  }
}

void check_pair_sizes(int players, std::span<const double> pair_weights,
                      std::span<const double> single_weights) {
  check_players(players, 1);
  const auto n = static_cast<std::size_t>(players);
  if (pair_weights.size() != n - 1) {
    throw std::invalid_argument("Expected players - 1 = " + std::to_string(n - 1) +
                                " pair weights but received " + std::to_string(pair_weights.size()) + ".");
  }
  if (!single_weights.empty() && single_weights.size() != n) {
    throw std::invalid_argument("Expected 0 or players = " + std::to_string(n) +
                                " single weights but received " + std::to_string(single_weights.size()) +
                                ".");
  }
}

}  // namespace fsyn::interactions
