#include "cuda/interactions_client.hpp"

#include <stdexcept>
#include <vector>

#include "errors.hpp"
#include "interactions/pair_sums.hpp"

#if defined(_WIN32)
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace fsyn::cuda {
namespace {

std::shared_ptr<void> open_library(const std::string& path) {
#if defined(_WIN32)
  void* library = LoadLibraryA(path.c_str());
  if (library == nullptr)
    throw Error("PROVIDER_UNAVAILABLE", "The CUDA plugin " + path + " cannot be loaded.");
  return {library, [](void* open) { FreeLibrary(static_cast<HMODULE>(open)); }};
#else
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    throw Error("PROVIDER_UNAVAILABLE",
                "The CUDA plugin cannot be loaded: " + std::string(reason != nullptr ? reason : path));
  }
  // Never closed: the CUDA runtime inside keeps threads that must find their code at exit.
  return {library, [](void*) {}};
#endif
}

FsynCudaInteractions find_entry(void* library) {
#if defined(_WIN32)
  return reinterpret_cast<FsynCudaInteractions>(
      GetProcAddress(static_cast<HMODULE>(library), "fsyn_cuda_interactions"));
#else
  return reinterpret_cast<FsynCudaInteractions>(dlsym(library, "fsyn_cuda_interactions"));
#endif
}

}  // namespace

Interactions::Interactions(const std::string& path) : library_(open_library(path)) {
  const auto entry = find_entry(library_.get());
  api_ = entry != nullptr ? entry(kInteractionsAbi) : nullptr;
  if (api_ == nullptr) {
    throw Error("PROVIDER_UNAVAILABLE",
                "The CUDA plugin " + path + " is of another version; build it again.");
  }
  if (api_->device_count() < 1) {
    throw Error("PROVIDER_UNAVAILABLE",
                "The CUDA plugin finds no device: " + std::string(api_->last_error()));
  }
}

void Interactions::require(int status) const {
  if (status == kOk) return;
  if (status == kInvalid) throw std::invalid_argument(api_->last_error());
  throw Error(status == kOutOfMemory ? "OUT_OF_MEMORY" : "INFERENCE",
              std::string("CUDA: ") + api_->last_error());
}

std::string Interactions::device_name() const {
  char name[256] = {};
  require(api_->device_name(0, name, sizeof(name)));
  return name;
}

Interactions::Table::Table(const Interactions& owner, int players)
    : owner_(&owner), players_(players), table_(nullptr, owner.api_->table_destroy) {
  DeviceTable* table = nullptr;
  owner.require(owner.api_->table_create(players, &table));
  table_.reset(table);
}

void Interactions::Table::upload(std::span<const double> values) {
  if (values.size() != (std::size_t{1} << players_))
    throw std::invalid_argument("Expected 2^players values.");
  owner_->require(owner_->api_->table_upload(table_.get(), values.data()));
}

void Interactions::Table::download(std::span<double> values) const {
  if (values.size() != (std::size_t{1} << players_))
    throw std::invalid_argument("Expected room for 2^players values.");
  owner_->require(owner_->api_->table_download(table_.get(), values.data()));
}

void Interactions::Table::copy_from(const Table& other) {
  owner_->require(owner_->api_->table_copy(other.get(), table_.get()));
}

void Interactions::transform(Table& table, interactions::Transform kind, double p) const {
  require(api_->transform(table.get(), static_cast<int>(kind), p));
}

void Interactions::synchronize() const {
  require(api_->synchronize());
}

interactions::PairIndex Interactions::pair_index(const Table& table, double offset,
                                                 std::span<const double> pair_weights,
                                                 std::span<const double> single_weights) const {
  const int players = table.players();
  const int high_bits = players - kLowBits;
  if (high_bits < 1) throw std::invalid_argument("Expected 13 players or more on a device.");
  const auto weights = interactions::size_weights(players, pair_weights, single_weights);
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
  std::vector<double> cross(static_cast<std::size_t>(high_bits) * kLowBits);
  std::vector<double> beta_high(high);
  std::vector<double> gamma_high(high);
  std::vector<double> single_high(high);
  PairSumsView view{0,
                    0,
                    beta.data(),
                    gamma.data(),
                    single.data(),
                    cross.data(),
                    beta_high.data(),
                    gamma_high.data(),
                    single_high.data()};
  require(api_->pair_sums(table.get(), offset, rows.data(), &view));

  interactions::PairSums sums(players);
  sums.all = view.all;
  sums.single_all = view.single_all;
  interactions::add_singles(beta, kLowBits, sums.with.data());
  interactions::add_singles(beta_high, high_bits, &sums.with[kLowBits]);
  interactions::add_singles(single, kLowBits, sums.single_with.data());
  interactions::add_singles(single_high, high_bits, &sums.single_with[kLowBits]);
  interactions::add_pairs(gamma, kLowBits, sums.with_both.data(), sums.n);
  interactions::add_pairs(gamma_high, high_bits, &sums.with_both[kLowBits * sums.n + kLowBits], sums.n);
  for (std::size_t h = 0; h < static_cast<std::size_t>(high_bits); ++h) {
    for (std::size_t l = 0; l < kLowBits; ++l) sums.add_both(l, kLowBits + h, cross[h * kLowBits + l]);
  }
  return interactions::assemble(sums, !single_weights.empty());
}

std::vector<double> Interactions::dividend_index(const Table& dividends, Table& scratch,
                                                 std::span<const double> weights,
                                                 std::span<const unsigned> masks) const {
  if (weights.size() != static_cast<std::size_t>(dividends.players()) + 1) {
    throw std::invalid_argument("Expected players + 1 weights.");
  }
  require(api_->weigh(dividends.get(), scratch.get(), weights.data()));
  transform(scratch, interactions::Transform::kSupersetSum);
  std::vector<double> values(masks.size());
  require(api_->gather(scratch.get(), masks.data(), masks.size(), values.data()));
  return values;
}

}  // namespace fsyn::cuda
