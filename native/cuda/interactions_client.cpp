#include "cuda/interactions_client.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "cuda/plugin_library.hpp"
#include "errors.hpp"

namespace fsyn::cuda {
namespace {

constexpr std::size_t kLowBits = FSYN_CUDA_LOW_BITS;

/// Entries that are converted, copied and checked for a stop request at a time: 8 MiB.
constexpr std::size_t kPiece = std::size_t{1} << 20;

}  // namespace

Interactions::Interactions(const std::filesystem::path& plugin) : plugin_(&load_plugin(plugin)) {}

void Interactions::require(int status) const {
  if (status == FSYN_CUDA_OK) return;
  if (status == FSYN_CUDA_INVALID) throw std::invalid_argument(plugin_->last_error());
  throw Error(status == FSYN_CUDA_OUT_OF_MEMORY ? ErrorCode::out_of_memory : ErrorCode::inference,
              std::string("CUDA: ") + plugin_->last_error());
}

std::string Interactions::device_name() const {
  char name[256] = {};
  require(plugin_->device_name(0, name, sizeof(name)));
  return name;
}

std::size_t Interactions::available_memory() const {
  std::size_t available = 0;
  std::size_t total = 0;
  require(plugin_->device_memory(&available, &total));
  return available;
}

void Interactions::require_memory(int players, int tables) const {
  const std::size_t needed = static_cast<std::size_t>(tables) * (sizeof(double) << players);
  const std::size_t available = available_memory();
  if (needed <= available) return;
  throw Error(ErrorCode::out_of_memory,
              std::to_string(tables) + " tables of " + std::to_string(players) + " players need " +
                  std::to_string(needed >> 20) + " MiB of device memory but only " +
                  std::to_string(available >> 20) + " MiB are free on the " + device_name() + ".");
}

Interactions::Table::Table(const Interactions& owner, int players)
    : owner_(&owner), players_(players), table_(nullptr, owner.plugin_->table_destroy) {
  fsyn_cuda_table* table = nullptr;
  owner.require(owner.plugin_->table_create(players, &table));
  table_.reset(table);
}

template <class T>
void Interactions::Table::upload(std::span<const T> values, double offset, const games::Control& control) {
  if (values.size() != size()) throw std::invalid_argument("Expected 2^players values.");
  std::vector<double> converted;
  for (std::size_t first = 0; first < size(); first += kPiece) {
    control.check();
    const auto piece = values.subspan(first, std::min(kPiece, size() - first));
    const double* from = nullptr;
    if constexpr (std::is_same_v<T, double>) {
      if (offset == 0) from = piece.data();
    }
    if (from == nullptr) {
      converted.resize(piece.size());
      std::transform(piece.begin(), piece.end(), converted.begin(),
                     [offset](T value) { return static_cast<double>(value) - offset; });
      from = converted.data();
    }
    owner_->require(owner_->plugin_->table_upload(get(), first, piece.size(), from));
  }
}

void Interactions::Table::upload_entry(std::size_t at, double value) {
  owner_->require(owner_->plugin_->table_upload(get(), at, 1, &value));
}

template <class T>
void Interactions::Table::download(std::span<T> values, const games::Control& control) const {
  if (values.size() != size()) throw std::invalid_argument("Expected room for 2^players values.");
  std::vector<double> converted;
  for (std::size_t first = 0; first < size(); first += kPiece) {
    control.check();
    const auto piece = values.subspan(first, std::min(kPiece, size() - first));
    if constexpr (std::is_same_v<T, double>) {
      owner_->require(owner_->plugin_->table_download(get(), first, piece.size(), piece.data()));
    } else {
      converted.resize(piece.size());
      owner_->require(owner_->plugin_->table_download(get(), first, piece.size(), converted.data()));
      std::transform(converted.begin(), converted.end(), piece.begin(),
                     [](double value) { return static_cast<T>(value); });
    }
  }
}

template void Interactions::Table::upload<double>(std::span<const double>, double, const games::Control&);
template void Interactions::Table::upload<float>(std::span<const float>, double, const games::Control&);
template void Interactions::Table::download<double>(std::span<double>, const games::Control&) const;
template void Interactions::Table::download<float>(std::span<float>, const games::Control&) const;

void Interactions::Table::copy_from(const Table& other) {
  owner_->require(owner_->plugin_->table_copy(other.get(), get()));
}

void Interactions::transform(Table& table, interactions::Transform kind, double p) const {
  require(plugin_->table_transform(table.get(), static_cast<int>(kind), p));
}

void Interactions::synchronise() const {
  require(plugin_->synchronise());
}

interactions::PairSums Interactions::pair_sums(const Table& table, double offset,
                                               const interactions::SizeWeights& weights) const {
  const int players = table.players();
  if (players <= FSYN_CUDA_LOW_BITS) throw std::invalid_argument("Expected 13 players or more on a device.");
  const auto high_bits = static_cast<std::size_t>(players) - kLowBits;
  std::vector<double> rows;
  for (const auto* row :
       {&weights.alpha, &weights.beta, &weights.gamma, &weights.alpha_single, &weights.single}) {
    rows.insert(rows.end(), row->begin(), row->begin() + players + 1);
  }
  constexpr std::size_t kLow = std::size_t{1} << kLowBits;
  const std::size_t high = std::size_t{1} << high_bits;
  std::vector<double> beta(kLow);
  std::vector<double> gamma(kLow);
  std::vector<double> single(kLow);
  std::vector<double> cross(high_bits * kLowBits);
  std::vector<double> beta_high(high);
  std::vector<double> gamma_high(high);
  std::vector<double> single_high(high);
  fsyn_cuda_pair_sums view{0,
                           0,
                           beta.data(),
                           gamma.data(),
                           single.data(),
                           cross.data(),
                           beta_high.data(),
                           gamma_high.data(),
                           single_high.data()};
  require(plugin_->table_pair_sums(table.get(), offset, rows.data(), &view));

  interactions::PairSums sums(players);
  const auto low = static_cast<int>(kLowBits);
  const auto rest = static_cast<int>(high_bits);
  sums.all = view.all;
  sums.single_all = view.single_all;
  interactions::add_singles(beta, low, sums.with.data());
  interactions::add_singles(beta_high, rest, &sums.with[kLowBits]);
  interactions::add_singles(single, low, sums.single_with.data());
  interactions::add_singles(single_high, rest, &sums.single_with[kLowBits]);
  interactions::add_pairs(gamma, low, sums.with_both.data(), sums.n);
  interactions::add_pairs(gamma_high, rest, &sums.with_both[kLowBits * sums.n + kLowBits], sums.n);
  for (std::size_t h = 0; h < high_bits; ++h) {
    for (std::size_t l = 0; l < kLowBits; ++l) sums.add_both(l, kLowBits + h, cross[h * kLowBits + l]);
  }
  return sums;
}

void Interactions::weigh(const Table& from, Table& to, std::span<const double> weights) const {
  if (weights.size() != static_cast<std::size_t>(from.players()) + 1) {
    throw std::invalid_argument("Expected players + 1 weights.");
  }
  require(plugin_->table_weigh(from.get(), to.get(), weights.data()));
}

std::vector<double> Interactions::gather(const Table& table, std::span<const std::uint32_t> masks) const {
  std::vector<double> values(masks.size());
  require(plugin_->table_gather(table.get(), masks.data(), masks.size(), values.data()));
  return values;
}

}  // namespace fsyn::cuda
