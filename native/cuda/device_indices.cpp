#include "cuda/device_indices.hpp"

#include <algorithm>

#include "interactions/coalitions.hpp"

namespace fsyn::cuda {
namespace {

using interactions::Transform;

template <class T>
std::span<const T> whole(const T* table, int players) {
  return {table, std::size_t{1} << players};
}

std::vector<std::uint32_t> coalitions_of(int players, int size) {
  std::vector<std::uint32_t> masks;
  masks.reserve(interactions::coalition_count(players, size, size));
  interactions::for_each_coalition(
      players, size, [&](std::size_t mask) { masks.push_back(static_cast<std::uint32_t>(mask)); });
  return masks;
}

std::span<const double> row_of(std::span<const double> weights, int order, int players) {
  const auto width = static_cast<std::size_t>(players) + 1;
  return weights.subspan(static_cast<std::size_t>(order) * width, width);
}

void append(std::vector<double>& to, const std::vector<double>& values, double factor = 1) {
  for (const double value : values) to.push_back(factor * value);
}

}  // namespace

template <class T>
void transform(const Interactions& device, T* x, int players, Transform kind, double p,
               const games::Control& control) {
  interactions::check_players(players, 0);
  // The map of no player is the identity.
  if (players == 0) return;
  device.require_memory(players, 1);
  Interactions::Table table(device, players);
  table.upload(whole<T>(x, players), 0, control);
  control.report(1, 3);
  device.transform(table, kind, p);
  control.report(2, 3);
  table.download(std::span<T>(x, table.size()), control);
  control.report(3, 3);
}

template <class T>
interactions::PairIndex pair_index(const Interactions& device, const T* table, int players,
                                   std::span<const double> pair_weights,
                                   std::span<const double> single_weights, const games::Control& control) {
  interactions::check_pair_sizes(players, pair_weights, single_weights);
  const auto weights = interactions::size_weights(players, pair_weights, single_weights);
  const auto offset = static_cast<double>(table[0]);
  constexpr int kLeast = FSYN_CUDA_LOW_BITS + 1;
  if (players >= kLeast) {
    device.require_memory(players, 1);
    Interactions::Table on_device(device, players);
    on_device.upload(whole(table, players), 0, control);
    control.report(1, 2);
    return interactions::assemble(device.pair_sums(on_device, offset, weights), !single_weights.empty());
  }
  // With players that are never present, whose coalitions have weight 0: the kernel knows no fewer than 13.
  std::vector<double> padded(std::size_t{1} << kLeast, offset);
  std::copy_n(table, std::size_t{1} << players, padded.begin());
  Interactions::Table on_device(device, kLeast);
  on_device.upload(std::span<const double>(padded), 0, control);
  const auto all =
      interactions::assemble(device.pair_sums(on_device, offset, weights), !single_weights.empty());
  const auto n = static_cast<std::size_t>(players);
  interactions::PairIndex index;
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = all.pairs.begin() + static_cast<std::ptrdiff_t>(i * kLeast);
    index.pairs.insert(index.pairs.end(), row, row + players);
  }
  if (!single_weights.empty()) index.singles.assign(all.singles.begin(), all.singles.begin() + players);
  return index;
}

template <class T>
std::vector<double> dividend_index(const Interactions& device, const T* table, int players, int min_size,
                                   int max_size, std::span<const double> weights,
                                   const games::Control& control) {
  interactions::check_orders(players, min_size, max_size, 0, weights.size());
  device.require_memory(players, 2);
  const double steps = max_size - min_size + 2;
  const auto baseline = static_cast<double>(table[0]);
  Interactions::Table dividends(device, players);
  dividends.upload(whole(table, players), baseline, control);
  device.transform(dividends, Transform::kMoebius);
  dividends.upload_entry(0, baseline);
  control.report(1, steps);

  std::vector<double> result;
  result.reserve(interactions::coalition_count(players, min_size, max_size));
  Interactions::Table sums(device, players);
  for (int s = min_size; s <= max_size; ++s) {
    control.check();
    const auto row = row_of(weights, s - min_size, players);
    const auto masks = coalitions_of(players, s);
    const bool alone = std::all_of(row.begin() + s + 1, row.end(), [](double w) { return w == 0; });
    if (alone) {
      // Only m(S) itself counts: dividends, and the lower orders of Shapley-Taylor.
      append(result, device.gather(dividends, masks), row[static_cast<std::size_t>(s)]);
    } else {
      device.weigh(dividends, sums, row);
      device.transform(sums, Transform::kSupersetSum);
      append(result, device.gather(sums, masks));
    }
    control.report(s - min_size + 2, steps);
  }
  return result;
}

template <class T>
std::vector<double> block_value_index(const Interactions& device, const T* table, int players, int min_size,
                                      int max_size, std::span<const double> weights,
                                      const games::Control& control) {
  interactions::check_orders(players, min_size, max_size, 1, weights.size());
  device.require_memory(players, 2);
  Interactions::Table values(device, players);
  values.upload(whole(table, players), static_cast<double>(table[0]), control);
  Interactions::Table sums(device, players);
  const auto everyone = static_cast<std::uint32_t>((std::size_t{1} << players) - 1);
  std::vector<double> result;
  result.reserve(interactions::coalition_count(players, min_size, max_size));
  for (int s = min_size; s <= max_size; ++s) {
    control.check();
    const auto row = row_of(weights, s - min_size, players);
    auto masks = coalitions_of(players, s);
    // T + S has size |T| + s, so the weights of the first sum move up by s.
    std::vector<double> shifted(row.size(), 0.0);
    std::copy(row.begin(), row.end() - s, shifted.begin() + s);
    device.weigh(values, sums, shifted);
    device.transform(sums, Transform::kSupersetSum);
    const auto with = device.gather(sums, masks);
    for (auto& mask : masks) mask = everyone & ~mask;
    device.weigh(values, sums, row);
    device.transform(sums, Transform::kZeta);
    const auto without = device.gather(sums, masks);
    for (std::size_t i = 0; i < masks.size(); ++i) result.push_back(with[i] - without[i]);
    control.report(s - min_size + 1, max_size - min_size + 1);
  }
  return result;
}

template void transform<double>(const Interactions&, double*, int, Transform, double, const games::Control&);
template interactions::PairIndex pair_index<double>(const Interactions&, const double*, int,
                                                    std::span<const double>, std::span<const double>,
                                                    const games::Control&);
template std::vector<double> dividend_index<double>(const Interactions&, const double*, int, int, int,
                                                    std::span<const double>, const games::Control&);
template std::vector<double> block_value_index<double>(const Interactions&, const double*, int, int, int,
                                                       std::span<const double>, const games::Control&);
template void transform<float>(const Interactions&, float*, int, Transform, double, const games::Control&);
template interactions::PairIndex pair_index<float>(const Interactions&, const float*, int,
                                                   std::span<const double>, std::span<const double>,
                                                   const games::Control&);
template std::vector<double> dividend_index<float>(const Interactions&, const float*, int, int, int,
                                                   std::span<const double>, const games::Control&);
template std::vector<double> block_value_index<float>(const Interactions&, const float*, int, int, int,
                                                      std::span<const double>, const games::Control&);

}  // namespace fsyn::cuda
