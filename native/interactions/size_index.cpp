#include "interactions/size_index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "games/memory.hpp"
#include "games/parallel.hpp"
#include "interactions/coalitions.hpp"

namespace fsyn::interactions {
namespace {

constexpr int kRowBits = 8;
constexpr std::size_t kRow = std::size_t{1} << kRowBits;

/// to[S] = weights[|S|] from[S].
void weigh(const double* from, double* to, int players, std::span<const double> weights, int threads) {
  const std::size_t count = std::size_t{1} << players;
  const std::size_t row = std::min(count, kRow);
  games::parallel_for(count / row, threads, [&](std::size_t r) {
    const auto high = static_cast<std::size_t>(std::popcount(r));
    for (std::size_t i = r * row; i < (r + 1) * row; ++i) {
      to[i] = weights[high + static_cast<std::size_t>(std::popcount(i & (kRow - 1)))] * from[i];
    }
  });
}

/// The table as doubles, less v(empty): dividends of non-empty coalitions do not see a constant, and rounding
/// does.
template <class T>
games::AlignedBuffer<double> centred_copy(const T* table, int players, int threads) {
  const std::size_t count = std::size_t{1} << players;
  games::AlignedBuffer<double> copy(count);
  const auto offset = static_cast<double>(table[0]);
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  const std::size_t piece = std::min(count, kPiece);
  games::parallel_for(count / piece, threads, [&](std::size_t p) {
    for (std::size_t i = p * piece; i < (p + 1) * piece; ++i)
      copy[i] = static_cast<double>(table[i]) - offset;
  });
  return copy;
}

std::span<const double> row_of(std::span<const double> weights, int order, int players) {
  const auto width = static_cast<std::size_t>(players) + 1;
  return weights.subspan(static_cast<std::size_t>(order) * width, width);
}

Execution without_progress(const Execution& execution) {
  Execution inner = execution;
  inner.control.progress = nullptr;
  return inner;
}

}  // namespace

template <class T>
std::vector<double> dividend_index(const T* table, int players, int min_size, int max_size,
                                   std::span<const double> weights, const Execution& execution) {
  check_orders(players, min_size, max_size, 0, weights.size());
  games::require_memory(2 * (sizeof(double) << players), "The dividends of a game");
  const int threads = games::choose_threads(execution.threads, players);
  const Execution inner = without_progress(execution);
  const double steps = max_size - min_size + 2;
  auto dividends = centred_copy(table, players, threads);
  transform(dividends.data(), players, Transform::kMoebius, 0, inner);
  dividends[0] = static_cast<double>(table[0]);
  execution.control.report(1, steps);

  std::vector<double> result;
  result.reserve(coalition_count(players, min_size, max_size));
  games::AlignedBuffer<double> sums(std::size_t{1} << players);
  for (int s = min_size; s <= max_size; ++s) {
    const auto row = row_of(weights, s - min_size, players);
    const bool alone = std::all_of(row.begin() + s + 1, row.end(), [](double w) { return w == 0; });
    if (alone) {
      // Only m(S) itself counts: dividends, and the lower orders of Shapley-Taylor.
      const double own = row[static_cast<std::size_t>(s)];
      for_each_coalition(players, s, [&](std::size_t mask) { result.push_back(own * dividends[mask]); });
    } else {
      weigh(dividends.data(), sums.data(), players, row, threads);
      transform(sums.data(), players, Transform::kSupersetSum, 0, inner);
      for_each_coalition(players, s, [&](std::size_t mask) { result.push_back(sums[mask]); });
    }
    execution.control.report(s - min_size + 2, steps);
  }
  return result;
}

template <class T>
std::vector<double> block_value_index(const T* table, int players, int min_size, int max_size,
                                      std::span<const double> weights, const Execution& execution) {
  check_orders(players, min_size, max_size, 1, weights.size());
  games::require_memory(3 * (sizeof(double) << players), "The block values of a game");
  const int threads = games::choose_threads(execution.threads, players);
  const Execution inner = without_progress(execution);
  const auto values = centred_copy(table, players, threads);
  const std::size_t everyone = (std::size_t{1} << players) - 1;
  games::AlignedBuffer<double> with(everyone + 1);
  games::AlignedBuffer<double> without(everyone + 1);
  std::vector<double> result;
  result.reserve(coalition_count(players, min_size, max_size));
  for (int s = min_size; s <= max_size; ++s) {
    const auto row = row_of(weights, s - min_size, players);
    // T + S has size |T| + s, so the weights of the first sum move up by s.
    std::vector<double> shifted(row.size(), 0.0);
    std::copy(row.begin(), row.end() - s, shifted.begin() + s);
    weigh(values.data(), with.data(), players, shifted, threads);
    transform(with.data(), players, Transform::kSupersetSum, 0, inner);
    weigh(values.data(), without.data(), players, row, threads);
    transform(without.data(), players, Transform::kZeta, 0, inner);
    for_each_coalition(players, s,
                       [&](std::size_t mask) { result.push_back(with[mask] - without[everyone & ~mask]); });
    execution.control.report(s - min_size + 1, max_size - min_size + 1);
  }
  return result;
}

template <class T>
double size_weighted_sum(const T* table, int players, std::span<const double> weights) {
  const std::size_t count = std::size_t{1} << players;
  const std::size_t row = std::min(count, kRow);
  double sum = 0;
  for (std::size_t r = 0; r < count / row; ++r) {
    const auto high = static_cast<std::size_t>(std::popcount(r));
    double part = 0;
    for (std::size_t i = 0; i < row; ++i) {
      part += weights[high + static_cast<std::size_t>(std::popcount(i))] *
              static_cast<double>(table[r * row + i]);
    }
    sum += part;
  }
  return sum;
}

template <class T>
std::size_t first_not_finite(const T* table, std::size_t count) {
  constexpr std::size_t kPiece = 1024;
  for (std::size_t begin = 0; begin < count; begin += kPiece) {
    const std::size_t end = std::min(begin + kPiece, count);
    T sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += table[i] * T{0};  // zero unless one is infinite or NaN
    if (sum == T{0}) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(table[i])) return i;
    }
  }
  return count;
}

template std::vector<double> dividend_index<double>(const double*, int, int, int, std::span<const double>,
                                                    const Execution&);
template std::vector<double> dividend_index<float>(const float*, int, int, int, std::span<const double>,
                                                   const Execution&);
template std::vector<double> block_value_index<double>(const double*, int, int, int, std::span<const double>,
                                                       const Execution&);
template std::vector<double> block_value_index<float>(const float*, int, int, int, std::span<const double>,
                                                      const Execution&);
template double size_weighted_sum<double>(const double*, int, std::span<const double>);
template double size_weighted_sum<float>(const float*, int, std::span<const double>);
template std::size_t first_not_finite<double>(const double*, std::size_t);
template std::size_t first_not_finite<float>(const float*, std::size_t);

}  // namespace fsyn::interactions
