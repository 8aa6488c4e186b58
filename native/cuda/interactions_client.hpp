#pragma once

#include <memory>
#include <span>
#include <string>

#include "cuda/interactions_abi.hpp"
#include "interactions/pair_index.hpp"
#include "interactions/transform.hpp"

namespace fsyn::cuda {

/// The plugin's interactions part, loaded at run time. Throws Error PROVIDER_UNAVAILABLE, with the reason,
/// when the library, its ABI or a device is missing; no call falls back to the processor.
class Interactions {
 public:
  /// A table in device memory; see InteractionsApi.
  class Table {
   public:
    Table(const Interactions& owner, int players);
    void upload(std::span<const double> values);
    void download(std::span<double> values) const;
    void copy_from(const Table& other);
    [[nodiscard]] int players() const noexcept { return players_; }
    [[nodiscard]] DeviceTable* get() const noexcept { return table_.get(); }

   private:
    const Interactions* owner_;
    int players_;
    std::unique_ptr<DeviceTable, void (*)(DeviceTable*)> table_;
  };

  /// `path`: the plugin library.
  explicit Interactions(const std::string& path);

  [[nodiscard]] std::string device_name() const;
  void transform(Table& table, interactions::Transform kind, double p = 0.5) const;
  /// As interactions::pair_index, for 13 players or more. `offset` is subtracted from every value; v(empty)
  /// keeps digits.
  [[nodiscard]] interactions::PairIndex pair_index(const Table& table, double offset,
                                                   std::span<const double> pair_weights,
                                                   std::span<const double> single_weights) const;
  /// As interactions::dividend_index of one order: weights [players + 1], one value per mask. `dividends` is
  /// not changed.
  [[nodiscard]] std::vector<double> dividend_index(const Table& dividends, Table& scratch,
                                                   std::span<const double> weights,
                                                   std::span<const unsigned> masks) const;
  void synchronize() const;

 private:
  void require(int status) const;

  std::shared_ptr<void> library_;
  const InteractionsApi* api_ = nullptr;
};

}  // namespace fsyn::cuda
