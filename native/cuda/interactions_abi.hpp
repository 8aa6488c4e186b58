#pragma once

#include <cstddef>

/// The C interface between the program and the CUDA plugin's interactions part. Plain C types only: the
/// plugin is built by nvcc with its own runtime library and loaded at run time, so that the program needs
/// neither.
///
/// Functions return 0, or a status whose text last_error() has for the calling thread. Tables are device
/// memory; calls on one table must not overlap. Sums have a fixed order: the same table gives the same bytes.
namespace fsyn::cuda {

inline constexpr int kInteractionsAbi = 1;

enum Status : int {
  kOk = 0,
  kInvalid = 1,      ///< a parameter is out of range
  kOutOfMemory = 2,  ///< the device has not that much memory
  kFailed = 3,       ///< the CUDA runtime reported an error
};

struct DeviceTable;

/// What pair_sums leaves for the host to finish; see interactions::PairSums for the meaning.
struct PairSumsView {
  double all;           ///< sum of alpha v
  double single_all;    ///< sum of alpha_single v
  double* beta;         ///< [2^12] by low part
  double* gamma;        ///< [2^12]
  double* single;       ///< [2^12]
  double* cross;        ///< [players - 12][12]
  double* beta_high;    ///< [2^(players - 12)] by high part
  double* gamma_high;   ///< [2^(players - 12)]
  double* single_high;  ///< [2^(players - 12)]
};

/// Low bits of an index that one thread block of pair_sums holds.
inline constexpr int kLowBits = 12;

struct InteractionsApi {
  int abi;
  const char* (*last_error)();
  /// Number of usable devices; 0 without a driver.
  int (*device_count)();
  /// Name of a device, cut to `capacity` bytes.
  int (*device_name)(int device, char* name, std::size_t capacity);

  /// A table of 2^players doubles on the current device, not initialised. players in 1..31.
  int (*table_create)(int players, DeviceTable** table);
  void (*table_destroy)(DeviceTable* table);
  /// `values`: 2^players doubles of host memory.
  int (*table_upload)(DeviceTable* table, const double* values);
  int (*table_download)(const DeviceTable* table, double* values);
  /// Copies one table to another of the same size on the device.
  int (*table_copy)(const DeviceTable* from, DeviceTable* to);

  /// In place; `kind` as interactions::Transform.
  int (*transform)(DeviceTable* table, int kind, double p);
  /// One read of the table, 13 players or more. Weights by size: [5][players + 1] alpha, beta, gamma,
  /// alpha_single, single.
  int (*pair_sums)(const DeviceTable* table, double offset, const double* weights, PairSumsView* sums);
  /// to[S] = weights[|S|] from[S]; weights: [players + 1].
  int (*weigh)(const DeviceTable* from, DeviceTable* to, const double* weights);
  /// values[i] = table[masks[i]].
  int (*gather)(const DeviceTable* table, const unsigned* masks, std::size_t count, double* values);
  /// Waits for everything asked of the device.
  int (*synchronize)();
};

}  // namespace fsyn::cuda

extern "C" {
/// The one symbol of this part of the plugin: its functions, or null for an ABI that it does not speak.
using FsynCudaInteractions = const fsyn::cuda::InteractionsApi* (*)(int abi);
}
