// Exact transforms and indices against definitions evaluated in long double, for every kernel set of this
// machine.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "check.hpp"
#include "games/memory.hpp"
#include "interactions/pair_index.hpp"
#include "interactions/size_index.hpp"
#include "interactions/transform.hpp"

namespace {

using namespace fsyn;
using namespace fsyn::interactions;
using tests::check;

template <class Call>
void check_throws(const Call& call, const std::string& what) {
  bool thrown = false;
  try {
    call();
  } catch (const std::exception&) {
    thrown = true;
  }
  check(thrown, what);
}

template <class T>
std::vector<T> random_table(int players, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal(3.0, 1.0);
  std::vector<T> table(std::size_t{1} << players);
  for (auto& value : table) value = static_cast<T>(normal(generator));
  return table;
}

double choose(int n, int k) {
  double result = 1;
  for (int i = 1; i <= k; ++i) result = result * (n - k + i) / i;
  return result;
}

/// The 2x2 map of every transform, straight from its documentation.
void apply_map(Transform kind, long double p, long double& a, long double& b) {
  const long double x = a;
  const long double y = b;
  switch (kind) {
    case Transform::kMoebius:
      b = y - x;
      break;
    case Transform::kZeta:
      b = y + x;
      break;
    case Transform::kCoMoebius:
      a = y;
      b = y - x;
      break;
    case Transform::kInverseCoMoebius:
      a = x - y;
      b = x;
      break;
    case Transform::kSupersetSum:
      a = x + y;
      break;
    case Transform::kSupersetDifference:
      a = x - y;
      break;
    case Transform::kWalshHadamard:
      a = x + y;
      b = x - y;
      break;
    case Transform::kBanzhaf:
      a = (1 - p) * x + p * y;
      b = y - x;
      break;
    case Transform::kInverseBanzhaf:
      a = x - p * y;
      b = x + (1 - p) * y;
      break;
  }
}

template <class T>
void test_transforms(const KernelSet& kernels) {
  Execution execution{&kernels, 1, {}};
  constexpr long double kP = 0.3L;
  for (int players = 0; players <= 15; ++players) {
    const auto table = random_table<T>(players, static_cast<unsigned>(players) + 1);
    for (std::size_t kind = 0; kind < kTransformCount; ++kind) {
      std::vector<long double> expected(table.begin(), table.end());
      for (int bit = 0; bit < players; ++bit) {
        for (std::size_t s = 0; s < expected.size(); ++s) {
          const std::size_t with = s | (std::size_t{1} << bit);
          if (s != with) apply_map(static_cast<Transform>(kind), kP, expected[s], expected[with]);
        }
      }
      auto actual = table;
      transform(actual.data(), players, static_cast<Transform>(kind), static_cast<double>(kP), execution);
      // A value passes through `players` rounded steps and its terms grow at most like 2^players times the
      // input.
      const double tolerance = std::ldexp(8.0 * (players + 1) * std::numeric_limits<T>::epsilon(), players);
      double worst = 0;
      for (std::size_t s = 0; s < actual.size(); ++s) {
        worst = std::max(worst,
                         static_cast<double>(std::fabs(static_cast<long double>(actual[s]) - expected[s])));
      }
      check(worst <= tolerance, std::string(kernels.name) + (sizeof(T) == 8 ? " f64" : " f32") +
                                    " transform " + std::to_string(kind) + " of " + std::to_string(players) +
                                    " players: error " + std::to_string(worst));
    }
  }
}

void test_threads(const KernelSet& kernels) {
  for (const int players : {19, 21, 22}) {
    const auto table = random_table<double>(players, 7);
    std::vector<double> pair_weights(static_cast<std::size_t>(players - 1), std::ldexp(1.0, 2 - players));
    std::vector<double> single_weights(static_cast<std::size_t>(players), std::ldexp(1.0, 1 - players));
    std::vector<double> first_transform;
    PairIndex first_pairs;
    for (const int threads : {1, 2, 3, 8}) {
      Execution execution{&kernels, threads, {}};
      auto values = table;
      transform(values.data(), players, Transform::kMoebius, 0, execution);
      const auto pairs = pair_index(table.data(), players, pair_weights, single_weights, execution);
      if (threads == 1) {
        first_transform = values;
        first_pairs = pairs;
        transform(values.data(), players, Transform::kZeta, 0, execution);
        double worst = 0;
        for (std::size_t s = 0; s < values.size(); ++s)
          worst = std::max(worst, std::fabs(values[s] - table[s]));
        check(worst < 1e-6, std::string(kernels.name) + " zeta undoes moebius: " + std::to_string(worst));
      } else {
        check(values == first_transform,
              std::string(kernels.name) + " transform has the same bytes on threads");
        check(pairs.pairs == first_pairs.pairs && pairs.singles == first_pairs.singles,
              std::string(kernels.name) + " pairs have the same bytes on threads");
      }
    }
  }
}

template <class T>
void test_pairs(const KernelSet& kernels) {
  Execution execution{&kernels, 1, {}};
  std::mt19937_64 generator(5);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int n = 1; n <= 14; ++n) {
    const auto table = random_table<T>(n, static_cast<unsigned>(n) + 100);
    std::vector<double> pair_weights(static_cast<std::size_t>(n - 1));
    std::vector<double> single_weights(static_cast<std::size_t>(n));
    for (int t = 0; t < n - 1; ++t) {
      pair_weights[static_cast<std::size_t>(t)] = 2 * uniform(generator) / ((n - 1) * choose(n - 2, t));
    }
    for (int t = 0; t < n; ++t) {
      single_weights[static_cast<std::size_t>(t)] = 2 * uniform(generator) / (n * choose(n - 1, t));
    }
    const auto result = pair_index(table.data(), n, pair_weights, single_weights, execution);
    double worst = 0;
    for (int i = 0; i < n; ++i) {
      const std::size_t bi = std::size_t{1} << i;
      long double single = 0;
      for (std::size_t s = 0; s < table.size(); ++s) {
        if ((s & bi) != 0) continue;
        single += single_weights[static_cast<std::size_t>(std::popcount(s))] *
                  (static_cast<long double>(table[s | bi]) - static_cast<long double>(table[s]));
      }
      worst = std::max(worst,
                       static_cast<double>(std::fabs(result.singles[static_cast<std::size_t>(i)] - single)));
      for (int j = i + 1; j < n; ++j) {
        const std::size_t bj = std::size_t{1} << j;
        long double pair = 0;
        for (std::size_t s = 0; s < table.size(); ++s) {
          if ((s & (bi | bj)) != 0) continue;
          pair += pair_weights[static_cast<std::size_t>(std::popcount(s))] *
                  (static_cast<long double>(table[s | bi | bj]) - static_cast<long double>(table[s | bi]) -
                   static_cast<long double>(table[s | bj]) + static_cast<long double>(table[s]));
        }
        const auto at = static_cast<std::size_t>(i * n + j);
        worst = std::max(worst, static_cast<double>(std::fabs(result.pairs[at] - pair)));
        check(result.pairs[at] == result.pairs[static_cast<std::size_t>(j * n + i)], "pairs are symmetric");
      }
    }
    // The regrouped weights sum to about 4 n in absolute value, each term rounded once.
    check(worst < 1e-13, std::string(kernels.name) + (sizeof(T) == 8 ? " f64" : " f32") + " pairs of " +
                             std::to_string(n) + " players: error " + std::to_string(worst));
  }
}

/// Unanimity game of a coalition: its Shapley interaction index is 1 / (|T| - |S| + 1) for S within T, else
/// 0.
void test_unanimity() {
  constexpr int kPlayers = 7;
  constexpr std::size_t kWinning = 0b0110110;
  std::vector<double> table(std::size_t{1} << kPlayers);
  for (std::size_t s = 0; s < table.size(); ++s) table[s] = (s & kWinning) == kWinning ? 1.0 : 0.0;
  std::vector<double> weights;
  for (int s = 1; s <= kPlayers; ++s) {
    for (int t = 0; t <= kPlayers; ++t) weights.push_back(t >= s ? 1.0 / (t - s + 1) : 0.0);
  }
  const auto index = dividend_index(table.data(), kPlayers, 1, kPlayers, weights);
  check(index.size() == 127 && coalition_count(kPlayers, 1, kPlayers) == 127, "127 coalitions of 7 players");
  const std::size_t singles[] = {0, 1, 2, 3, 4, 5, 6};
  for (const std::size_t i : singles) {
    const double expected = ((kWinning >> i) & 1) != 0 ? 0.25 : 0.0;
    check(std::fabs(index[i] - expected) < 1e-15, "unanimity, player " + std::to_string(i));
  }
  // Pairs follow lexicographically: {0,1}, {0,2}, ...
  std::size_t at = 7;
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = i + 1; j < 7; ++j, ++at) {
      const std::size_t pair = (std::size_t{1} << i) | (std::size_t{1} << j);
      const double expected = (pair & kWinning) == pair ? 1.0 / 3 : 0.0;
      check(std::fabs(index[at] - expected) < 1e-15, "unanimity, pair");
    }
  }
}

void test_block_values() {
  constexpr int kPlayers = 6;
  const auto table = random_table<double>(kPlayers, 3);
  std::vector<double> weights;
  for (int s = 1; s <= 3; ++s) {
    for (int t = 0; t <= kPlayers; ++t) {
      weights.push_back(t <= kPlayers - s ? 1.0 / ((kPlayers - s + 1) * choose(kPlayers - s, t)) : 0.0);
    }
  }
  const auto index = block_value_index(table.data(), kPlayers, 1, 3, weights);
  std::size_t at = 0;
  for (int size = 1; size <= 3; ++size) {
    std::vector<std::size_t> masks;
    for (std::size_t mask = 0; mask < table.size(); ++mask) {
      if (std::popcount(mask) == size) masks.push_back(mask);
    }
    // Lexicographic by ascending players is descending by the mask with its bits reversed.
    const auto reversed = [](std::size_t mask) {
      std::size_t result = 0;
      for (int i = 0; i < kPlayers; ++i) result |= ((mask >> i) & 1) << (kPlayers - 1 - i);
      return result;
    };
    std::sort(masks.begin(), masks.end(),
              [&](std::size_t a, std::size_t b) { return reversed(a) > reversed(b); });
    for (const std::size_t mask : masks) {
      long double expected = 0;
      for (std::size_t t = 0; t < table.size(); ++t) {
        if ((t & mask) != 0) continue;
        expected += weights[static_cast<std::size_t>((size - 1) * (kPlayers + 1) + std::popcount(t))] *
                    (static_cast<long double>(table[t | mask]) - static_cast<long double>(table[t]));
      }
      check(std::fabs(index[at++] - static_cast<double>(expected)) < 1e-14, "generalised Shapley value");
    }
  }
}

void test_misuse() {
  std::vector<double> table(8, 1.0);
  check_throws([&] { transform(table.data(), 31, Transform::kMoebius); }, "31 players");
  check_throws([&] { transform(table.data(), -1, Transform::kMoebius); }, "-1 players");
  check_throws([&] { (void)pair_index(table.data(), 3, std::vector<double>(3), {}); }, "pair weights");
  check_throws([&] { (void)pair_index(table.data(), 0, std::vector<double>(), {}); }, "no players");
  check_throws([&] { (void)dividend_index(table.data(), 3, 1, 4, std::vector<double>(16)); },
               "order above players");
  check_throws([&] { (void)kernel_set("mmx"); }, "unknown kernels");
  check_throws([&] { games::require_memory(std::uint64_t{1} << 60, "A test"); }, "an exbibyte");
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    auto values = random_table<double>(11, 1);
    check(first_not_finite(values.data(), values.size()) == values.size(), "all finite");
    values[1999] = bad;
    check(first_not_finite(values.data(), values.size()) == 1999, "finds the first value that is not finite");
  }
}

void test_stop() {
  std::stop_source source;
  source.request_stop();
  const auto table = random_table<double>(12, 1);
  Execution execution;
  execution.control.stop = source.get_token();
  auto values = table;
  bool cancelled = false;
  try {
    transform(values.data(), 12, Transform::kMoebius, 0, execution);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "a stopped transform throws Cancelled");
  cancelled = false;
  try {
    (void)pair_index(table.data(), 12, std::vector<double>(11), {}, execution);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "a stopped pair index throws Cancelled");
}

}  // namespace

int main() {
  return tests::run([] {
    for (const KernelSet* kernels : kernel_sets()) {
      std::printf("kernels: %s\n", std::string(kernels->name).c_str());
      test_transforms<double>(*kernels);
      test_transforms<float>(*kernels);
      test_pairs<double>(*kernels);
      test_pairs<float>(*kernels);
      test_threads(*kernels);
    }
    test_unanimity();
    test_block_values();
    test_misuse();
    test_stop();
  });
}
