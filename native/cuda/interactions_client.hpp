#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuda/plugin.h"
#include "games/control.hpp"
#include "interactions/pair_sums.hpp"
#include "interactions/transform.hpp"

namespace fsyn::cuda {

/// A device, reached through the plugin. Throws Error PROVIDER_UNAVAILABLE, with the reason, when the
/// library, its version or a device is missing; no call falls back to the processor.
class Interactions {
 public:
  /// A table in device memory; see fsyn_cuda_table. Throws OUT_OF_MEMORY.
  class Table {
   public:
    Table(const Interactions& owner, int players);
    /// All entries, less `offset`, in pieces between which a stop request is seen.
    template <class T>
    void upload(std::span<const T> values, double offset = 0, const games::Control& control = {});
    void upload_entry(std::size_t at, double value);
    template <class T>
    void download(std::span<T> values, const games::Control& control = {}) const;
    void copy_from(const Table& other);
    [[nodiscard]] int players() const noexcept { return players_; }
    [[nodiscard]] std::size_t size() const noexcept { return std::size_t{1} << players_; }
    [[nodiscard]] fsyn_cuda_table* get() const noexcept { return table_.get(); }

   private:
    const Interactions* owner_;
    int players_;
    std::unique_ptr<fsyn_cuda_table, void (*)(fsyn_cuda_table*)> table_;
  };

  explicit Interactions(const std::filesystem::path& plugin);

  [[nodiscard]] std::string device_name() const;
  /// Bytes of device memory that are free.
  [[nodiscard]] std::size_t available_memory() const;
  /// Throws Error OUT_OF_MEMORY, which says what was asked and what there is, when `tables` tables do not
  /// fit.
  void require_memory(int players, int tables) const;

  void transform(Table& table, interactions::Transform kind, double p = 0.5) const;
  /// As interactions::pair_index, for 13 players or more. `offset` is subtracted from every value; v(empty)
  /// keeps digits.
  [[nodiscard]] interactions::PairSums pair_sums(const Table& table, double offset,
                                                 const interactions::SizeWeights& weights) const;
  /// to[S] = weights[|S|] from[S]; weights [players + 1].
  void weigh(const Table& from, Table& to, std::span<const double> weights) const;
  [[nodiscard]] std::vector<double> gather(const Table& table, std::span<const std::uint32_t> masks) const;
  void synchronise() const;

 private:
  void require(int status) const;

  const fsyn_cuda_plugin* plugin_;
};

}  // namespace fsyn::cuda
