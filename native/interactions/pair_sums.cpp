#include "interactions/pair_sums.hpp"

namespace fsyn::interactions {

SizeWeights size_weights(int players, std::span<const double> pair, std::span<const double> single) {
  const auto at = [](std::span<const double> weights, int t) {
    return t < 0 || t >= static_cast<int>(weights.size()) ? 0.0 : weights[static_cast<std::size_t>(t)];
  };
  SizeWeights w;
  for (int s = 0; s <= players; ++s) {
    const auto i = static_cast<std::size_t>(s);
    w.alpha[i] = at(pair, s);
    w.beta[i] = -(at(pair, s - 1) + at(pair, s));
    w.gamma[i] = at(pair, s - 2) + 2 * at(pair, s - 1) + at(pair, s);
    w.alpha_single[i] = -at(single, s);
    w.single[i] = at(single, s - 1) + at(single, s);
  }
  return w;
}

/// table.
void add_singles(std::span<double> table, int bits, double* out) {
  for (int b = bits - 1; b >= 0; --b) {
    const std::size_t half = std::size_t{1} << b;
    double sum = 0;
    for (std::size_t i = 0; i < half; ++i) {
      sum += table[i + half];
      table[i] += table[i + half];
    }
    out[b] += sum;
  }
}

void add_pairs(std::span<double> table, int bits, double* out, std::size_t stride) {
  std::vector<double> with;
  for (int b = bits - 1; b > 0; --b) {
    const std::size_t half = std::size_t{1} << b;
    with.assign(table.begin() + static_cast<std::ptrdiff_t>(half),
                table.begin() + static_cast<std::ptrdiff_t>(2 * half));
    for (std::size_t i = 0; i < half; ++i) table[i] += with[i];
    std::vector<double> sums(static_cast<std::size_t>(b), 0.0);
    add_singles(with, b, sums.data());
    for (std::size_t c = 0; c < sums.size(); ++c) out[c * stride + static_cast<std::size_t>(b)] += sums[c];
  }
}

PairIndex assemble(const PairSums& sums, bool singles) {
  PairIndex result;
  const std::size_t n = sums.n;
  result.pairs.assign(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i + 1; j < n; ++j) {
      const double value = (sums.all + sums.with[i]) + (sums.with[j] + sums.with_both[i * n + j]);
      result.pairs[i * n + j] = value;
      result.pairs[j * n + i] = value;
    }
  }
  if (singles) {
    result.singles.resize(n);
    for (std::size_t i = 0; i < n; ++i) result.singles[i] = sums.single_all + sums.single_with[i];
  }
  return result;
}

}  // namespace fsyn::interactions
