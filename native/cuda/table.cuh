#pragma once

#include "cuda/runtime.cuh"

namespace fsyn::cuda {

/// A block of threads holds 2^12 neighbouring values, 16 per thread.
constexpr int kRegisters = 16;
constexpr int kLowBits = FSYN_CUDA_LOW_BITS;
constexpr int kTile = kThreads * kRegisters;
static_assert(kTile == 1 << kLowBits);

}  // namespace fsyn::cuda

struct fsyn_cuda_table {
  int players = 0;
  double* values = nullptr;
};

// The entries of fsyn_cuda_plugin that work on tables; see there.
namespace fsyn::cuda {

[[nodiscard]] int table_create(int players, fsyn_cuda_table** table);
void table_destroy(fsyn_cuda_table* table);
[[nodiscard]] int table_upload(fsyn_cuda_table* table, std::size_t first, std::size_t count,
                               const double* values);
[[nodiscard]] int table_download(const fsyn_cuda_table* table, std::size_t first, std::size_t count,
                                 double* values);
[[nodiscard]] int table_copy(const fsyn_cuda_table* from, fsyn_cuda_table* to);
[[nodiscard]] int table_transform(fsyn_cuda_table* table, int kind, double p);
[[nodiscard]] int table_pair_sums(const fsyn_cuda_table* table, double offset, const double* weights,
                                  fsyn_cuda_pair_sums* sums);
[[nodiscard]] int table_weigh(const fsyn_cuda_table* from, fsyn_cuda_table* to, const double* weights);
[[nodiscard]] int table_gather(const fsyn_cuda_table* table, const uint32_t* masks, std::size_t count,
                               double* values);

}  // namespace fsyn::cuda
