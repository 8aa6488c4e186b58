#include "interactions/pair_index.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "games/memory.hpp"
#include "games/parallel.hpp"
#include "interactions/coalitions.hpp"
#include "interactions/pair_sums.hpp"

namespace fsyn::interactions {
namespace {

constexpr int kFixedBits = kPairLowBits + kPairMidBits;

/// Player of a low bit of the kernel.
constexpr std::size_t low_player(std::size_t bit) {
  return bit < kPairFirstMid ? bit : bit + kPairMidBits;
}

std::unique_ptr<PairWeights> lane_weights(int players, const SizeWeights& w) {
  auto lanes = std::make_unique<PairWeights>();
  for (std::size_t s = 0; s < PairWeights::kRows; ++s) {
    for (std::size_t l = 0; l < PairWeights::kLanes; ++l) {
      const std::size_t size = s + static_cast<std::size_t>(std::popcount(l));
      if (size > static_cast<std::size_t>(players)) continue;
      lanes->alpha[s][l] = w.alpha[size];
      lanes->alpha_single[s][l] = w.alpha_single[size];
      lanes->beta[s][l] = w.beta[size];
      lanes->gamma[s][l] = w.gamma[size];
      lanes->single[s][l] = w.single[size];
    }
  }
  return lanes;
}

/// Tables with fewer players than the kernel has low and mid bits.
template <class T>
PairSums small_sums(const T* table, int players, const SizeWeights& w) {
  const std::size_t count = std::size_t{1} << players;
  const auto offset = static_cast<double>(table[0]);
  std::vector<double> beta(count);
  std::vector<double> gamma(count);
  std::vector<double> single(count);
  PairSums sums(players);
  for (std::size_t s = 0; s < count; ++s) {
    const auto size = static_cast<std::size_t>(std::popcount(s));
    const double value = static_cast<double>(table[s]) - offset;
    sums.all += w.alpha[size] * value;
    sums.single_all += w.alpha_single[size] * value;
    beta[s] = w.beta[size] * value;
    gamma[s] = w.gamma[size] * value;
    single[s] = w.single[size] * value;
  }
  add_singles(beta, players, sums.with.data());
  add_singles(single, players, sums.single_with.data());
  add_pairs(gamma, players, sums.with_both.data(), sums.n);
  return sums;
}

/// What the kernel leaves behind: one PairPartial per chunk and one value per group.
class KernelOutput {
 public:
  KernelOutput(int players, bool singles)
      : high_(players - kFixedBits),
        groups_(std::size_t{1} << high_),
        // A fixed number of chunks, so that the order of the additions never depends on the threads.
        chunks_(std::clamp<std::size_t>(groups_ / 256, 1, 16)),
        by_size_((static_cast<std::size_t>(high_) + 3) * kPairBlock),
        mid_low_(kPairMidBits * kPairBlock),
        cross_(static_cast<std::size_t>(high_) * kPairLowBits),
        memory_(chunks_ * chunk_size() + groups_ * (singles ? 5 : 4)),
        partials_(chunks_) {
    for (std::size_t i = 0; i < chunks_ * chunk_size(); ++i) memory_[i] = 0;
    for (std::size_t c = 0; c < chunks_; ++c) {
      double* at = memory_.data() + c * chunk_size();
      partials_[c].by_size = at;
      partials_[c].mid_low = at + by_size_;
      partials_[c].cross = at + by_size_ + mid_low_;
    }
    double* at = memory_.data() + chunks_ * chunk_size();
    per_group_.gamma = at;
    per_group_.gamma_mid = {at + groups_, at + 2 * groups_};
    per_group_.beta = at + 3 * groups_;
    per_group_.single = singles ? at + 4 * groups_ : nullptr;
  }

  template <class T>
  void run(const T* table, const PairWeights& weights, const Execution& execution, int threads) {
    const KernelSet& kernels = execution.kernels != nullptr ? *execution.kernels : kernel_set();
    const auto kernel = kernels.pairs<T>();
    // Pieces of a chunk, so that a stop request is seen within milliseconds.
    constexpr std::size_t kPiece = 4096;
    games::parallel_for(chunks_, threads, [&](std::size_t c) {
      const std::size_t last = groups_ * (c + 1) / chunks_;
      PairPartial total = partials_[c];
      for (std::size_t begin = groups_ * c / chunks_; begin < last; begin += kPiece) {
        execution.control.check();
        PairPartial piece = partials_[c];
        kernel(table, static_cast<double>(table[0]), begin, std::min(begin + kPiece, last), weights, piece,
               per_group_);
        add_scalars(piece, total);
      }
      partials_[c] = total;
    });
  }

  [[nodiscard]] PairSums finish(int players, const PairWeights& lanes) {
    for (std::size_t c = 1; c < chunks_; ++c) {
      double* const to = partials_[0].by_size;
      const double* const from = partials_[c].by_size;
      for (std::size_t i = 0; i < by_size_ + mid_low_ + cross_; ++i) to[i] += from[i];
      add_scalars(partials_[c], partials_[0]);
    }
    PairSums sums(players);
    low_players(lanes, sums);
    mid_players(sums);
    high_players(sums);
    return sums;
  }

 private:
  [[nodiscard]] std::size_t chunk_size() const noexcept {
    // A cache line apart, so that chunks on two threads never share one.
    return (by_size_ + mid_low_ + cross_ + 7) / 8 * 8;
  }

  static void add_scalars(const PairPartial& from, PairPartial& to) {
    to.mid_mid += from.mid_mid;
    for (std::size_t m = 0; m < kPairMidBits; ++m) {
      to.mid_beta[m] += from.mid_beta[m];
      to.mid_single[m] += from.mid_single[m];
    }
  }

  void low_players(const PairWeights& lanes, PairSums& sums) {
    std::array<double, kPairBlock> beta{};
    std::array<double, kPairBlock> gamma{};
    std::array<double, kPairBlock> single{};
    std::array<double, PairWeights::kLanes> alpha{};
    std::array<double, PairWeights::kLanes> alpha_single{};
    for (std::size_t h = 0; h < static_cast<std::size_t>(high_) + 3; ++h) {
      // By rows of eight, whose weights lie side by side.
      for (std::size_t row = 0; row < kPairBlock / PairWeights::kLanes; ++row) {
        const std::size_t size = h + static_cast<std::size_t>(std::popcount(row));
        const std::size_t at = row * PairWeights::kLanes;
        const double* const block = partials_[0].by_size + h * kPairBlock + at;
        for (std::size_t l = 0; l < PairWeights::kLanes; ++l) {
          beta[at + l] += lanes.beta[size][l] * block[l];
          gamma[at + l] += lanes.gamma[size][l] * block[l];
          single[at + l] += lanes.single[size][l] * block[l];
          alpha[l] += lanes.alpha[size][l] * block[l];
          alpha_single[l] += lanes.alpha_single[size][l] * block[l];
        }
      }
    }
    for (std::size_t l = 0; l < PairWeights::kLanes; ++l) {
      sums.all += alpha[l];
      sums.single_all += alpha_single[l];
    }
    std::array<double, kPairLowBits> with{};
    std::array<double, kPairLowBits> single_with{};
    std::array<double, std::size_t{kPairLowBits} * kPairLowBits> with_both{};
    add_singles(beta, kPairLowBits, with.data());
    add_singles(single, kPairLowBits, single_with.data());
    add_pairs(gamma, kPairLowBits, with_both.data(), kPairLowBits);
    for (std::size_t i = 0; i < kPairLowBits; ++i) {
      sums.with[low_player(i)] += with[i];
      sums.single_with[low_player(i)] += single_with[i];
      for (std::size_t j = i + 1; j < kPairLowBits; ++j) {
        sums.add_both(low_player(i), low_player(j), with_both[i * kPairLowBits + j]);
      }
    }
  }

  void mid_players(PairSums& sums) {
    for (std::size_t m = 0; m < kPairMidBits; ++m) {
      const std::size_t player = kPairFirstMid + m;
      sums.with[player] += partials_[0].mid_beta[m];
      sums.single_with[player] += partials_[0].mid_single[m];
      std::array<double, kPairLowBits> low{};
      add_singles({partials_[0].mid_low + m * kPairBlock, kPairBlock}, kPairLowBits, low.data());
      for (std::size_t l = 0; l < kPairLowBits; ++l) sums.add_both(low_player(l), player, low[l]);
      add_singles({per_group_.gamma_mid[m], groups_}, high_, &sums.with_both[player * sums.n + kFixedBits]);
    }
    sums.add_both(kPairFirstMid, kPairFirstMid + 1, partials_[0].mid_mid);
  }

  void high_players(PairSums& sums) {
    for (std::size_t h = 0; h < static_cast<std::size_t>(high_); ++h) {
      for (std::size_t l = 0; l < kPairLowBits; ++l) {
        sums.add_both(low_player(l), kFixedBits + h, partials_[0].cross[h * kPairLowBits + l]);
      }
    }
    add_pairs({per_group_.gamma, groups_}, high_, &sums.with_both[kFixedBits * sums.n + kFixedBits], sums.n);
    add_singles({per_group_.beta, groups_}, high_, &sums.with[kFixedBits]);
    if (per_group_.single != nullptr) {
      add_singles({per_group_.single, groups_}, high_, &sums.single_with[kFixedBits]);
    }
  }

  int high_;
  std::size_t groups_;
  std::size_t chunks_;
  std::size_t by_size_;
  std::size_t mid_low_;
  std::size_t cross_;
  games::AlignedBuffer<double> memory_;
  std::vector<PairPartial> partials_;
  PairGroups per_group_;
};

}  // namespace

template <class T>
PairIndex pair_index(const T* table, int players, std::span<const double> pair_weights,
                     std::span<const double> single_weights, const Execution& execution) {
  check_pair_sizes(players, pair_weights, single_weights);
  const SizeWeights weights = size_weights(players, pair_weights, single_weights);
  const bool singles = !single_weights.empty();
  if (players <= kFixedBits) return assemble(small_sums(table, players, weights), singles);
  KernelOutput output(players, singles);
  const auto lanes = lane_weights(players, weights);
  output.run(table, *lanes, execution, games::choose_threads(execution.threads, players));
  return assemble(output.finish(players, *lanes), singles);
}

template PairIndex pair_index<double>(const double*, int, std::span<const double>, std::span<const double>,
                                      const Execution&);
template PairIndex pair_index<float>(const float*, int, std::span<const double>, std::span<const double>,
                                     const Execution&);

}  // namespace fsyn::interactions
