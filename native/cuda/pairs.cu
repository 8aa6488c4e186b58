// All pairs of an index in one read of a table.
#include <vector>

#include "cuda/runtime.cuh"
#include "cuda/table.cuh"

namespace fsyn::cuda {

namespace {

constexpr int kMaxSizes = 32;

/// Sum over the 32 lanes in a fixed tree; every lane gets it.
__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset >>= 1) x += __shfl_xor_sync(~0U, x, offset);
  return x;
}

constexpr int kChunks = 256;
constexpr int kWarps = kThreads / 32;

struct ChunkOutput {
  double* scalars;  ///< [chunks][2]
  double* low;      ///< [chunks][3][2^12] beta, gamma, single
  double* cross;    ///< [chunks][high][12]
  double* high;     ///< [3][2^high] beta, gamma, single
};

/// Chunk c reads the blocks of 2^12 values c, c + kChunks, ... and keeps its low-part sums in registers.
/// weights: [5][kMaxSizes] alpha, beta, gamma, alpha_single, single. The sums over threads go through
/// `per_warp`: gamma totals of the warp, of its lanes with bit 0..4, of bits 8..11, and the beta and single
/// totals.
__global__ void __launch_bounds__(kThreads)
    pair_sums_kernel(const double* __restrict__ x, double offset, int high_bits,
                     const double* __restrict__ weights, ChunkOutput out) {
  constexpr int kValues = 1 + 5 + 4 + 2;
  __shared__ double w[5][kMaxSizes];
  __shared__ double per_warp[kWarps][kValues];
  __shared__ double cross[20][12];
  const int t = static_cast<int>(threadIdx.x);
  const int lane = t & 31;
  const int warp = t >> 5;
  for (int i = t; i < 5 * kMaxSizes; i += kThreads) w[i / kMaxSizes][i % kMaxSizes] = weights[i];
  for (int i = t; i < 20 * 12; i += kThreads) cross[i / 12][i % 12] = 0;
  __syncthreads();
  double beta_low[kRegisters] = {};
  double gamma_low[kRegisters] = {};
  double single_low[kRegisters] = {};
  double all = 0;
  double single_all = 0;
  const std::size_t blocks = std::size_t{1} << high_bits;
  for (std::size_t h = blockIdx.x; h < blocks; h += kChunks) {
    const double* const own = x + (h << kLowBits);
    const int base = __popcll(h) + __popc(t);
    double total = 0;
    double beta = 0;
    double single = 0;
    double bits[4] = {};
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) {
      const double value = own[i * kThreads + t] - offset;
      const int size = base + __popc(i);
      const double gamma = w[2][size] * value;
      const double weighted = w[1][size] * value;
      const double one = w[4][size] * value;
      all = fma(w[0][size], value, all);
      single_all = fma(w[3][size], value, single_all);
      beta_low[i] += weighted;
      gamma_low[i] += gamma;
      single_low[i] += one;
      total += gamma;
      beta += weighted;
      single += one;
#pragma unroll
      for (int bit = 0; bit < 4; ++bit) {
        if (((i >> bit) & 1) != 0) bits[bit] += gamma;
      }
    }
    double values[kValues];
    values[0] = warp_sum(total);
#pragma unroll
    for (int bit = 0; bit < 5; ++bit) values[1 + bit] = warp_sum(((lane >> bit) & 1) != 0 ? total : 0.0);
#pragma unroll
    for (int bit = 0; bit < 4; ++bit) values[6 + bit] = warp_sum(bits[bit]);
    values[10] = warp_sum(beta);
    values[11] = warp_sum(single);
    if (lane == 0) {
#pragma unroll
      for (int k = 0; k < kValues; ++k) per_warp[warp][k] = values[k];
    }
    __syncthreads();
    if (t < 12) {
      // Player bit t of the low part: lanes 0..4, warps 5..7, registers 8..11.
      double sum = 0;
      for (int k = 0; k < kWarps; ++k) {
        if (t < 5) sum += per_warp[k][1 + t];
        if (t >= 5 && t < 8 && ((k >> (t - 5)) & 1) != 0) sum += per_warp[k][0];
        if (t >= 8) sum += per_warp[k][6 + t - 8];
      }
      for (int bit = 0; bit < high_bits; ++bit) {
        if (((h >> bit) & 1) != 0) cross[bit][t] += sum;
      }
    }
    if (t >= 32 && t < 35) {
      const int which = t - 32;
      const int from = which == 0 ? 10 : which == 1 ? 0 : 11;
      double sum = 0;
      for (int k = 0; k < kWarps; ++k) sum += per_warp[k][from];
      out.high[static_cast<std::size_t>(which) * blocks + h] = sum;
    }
    __syncthreads();
  }
  double* const low = out.low + static_cast<std::size_t>(blockIdx.x) * 3 * kTile;
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) {
    low[i * kThreads + t] = beta_low[i];
    low[kTile + i * kThreads + t] = gamma_low[i];
    low[2 * kTile + i * kThreads + t] = single_low[i];
  }
  const double all_sum = warp_sum(all);
  const double single_sum = warp_sum(single_all);
  if (lane == 0) {
    per_warp[warp][0] = all_sum;
    per_warp[warp][1] = single_sum;
  }
  __syncthreads();
  if (t < 2) {
    double sum = 0;
    for (int k = 0; k < kWarps; ++k) sum += per_warp[k][t];
    out.scalars[blockIdx.x * 2 + t] = sum;
  }
  for (int i = t; i < high_bits * 12; i += kThreads) {
    out.cross[static_cast<std::size_t>(blockIdx.x) * high_bits * 12 + i] = cross[i / 12][i % 12];
  }
}

/// sums[i] = parts[0][i] + parts[1][i] + ..., in that order.
__global__ void __launch_bounds__(kThreads)
    add_chunks(const double* __restrict__ parts, std::size_t count, int chunks, double* __restrict__ sums) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  double sum = 0;
  for (int c = 0; c < chunks; ++c) sum += parts[static_cast<std::size_t>(c) * count + i];
  sums[i] = sum;
}

}  // namespace

int table_pair_sums(const fsyn_cuda_table* table, double offset, const double* weights,
                    fsyn_cuda_pair_sums* sums) {
  const int high_bits = table->players - kLowBits;
  if (high_bits < 1) return fail(FSYN_CUDA_INVALID, "Expected 13 players or more.");
  const std::size_t high = std::size_t{1} << high_bits;
  const std::size_t cross = static_cast<std::size_t>(high_bits) * 12;
  std::vector<double> rows(5 * kMaxSizes, 0.0);
  for (int r = 0; r < 5; ++r) {
    for (int s = 0; s <= table->players; ++s) {
      rows[static_cast<std::size_t>(r * kMaxSizes + s)] = weights[r * (table->players + 1) + s];
    }
  }
  // Per chunk, then the sum of all chunks behind it.
  DeviceArray<double> device_rows;
  DeviceArray<double> scalars;
  DeviceArray<double> low;
  DeviceArray<double> crossed;
  DeviceArray<double> by_high;
  int status = allocate(rows.size(), device_rows);
  if (status == FSYN_CUDA_OK) status = allocate(std::size_t{2} * (kChunks + 1), scalars);
  if (status == FSYN_CUDA_OK) status = allocate(std::size_t{3} * kTile * (kChunks + 1), low);
  if (status == FSYN_CUDA_OK) status = allocate(cross * (kChunks + 1), crossed);
  if (status == FSYN_CUDA_OK) status = allocate(3 * high, by_high);
  if (status == FSYN_CUDA_OK) {
    status = check(
        cudaMemcpy(device_rows.get(), rows.data(), rows.size() * sizeof(double), cudaMemcpyHostToDevice),
        "upload of weights");
  }
  if (status != FSYN_CUDA_OK) return status;
  const ChunkOutput out{scalars.get(), low.get(), crossed.get(), by_high.get()};
  status =
      run("pair_sums", pair_sums_kernel, kChunks, table->values, offset, high_bits, device_rows.get(), out);
  double* const scalar_sums = scalars.get() + 2 * kChunks;
  double* const low_sums = low.get() + std::size_t{3} * kTile * kChunks;
  double* const cross_sums = crossed.get() + cross * kChunks;
  const auto add = [&](const double* parts, std::size_t count, double* sum) {
    if (status == FSYN_CUDA_OK)
      status = run("add_chunks", add_chunks, grid(count), parts, count, kChunks, sum);
  };
  add(scalars.get(), 2, scalar_sums);
  add(low.get(), std::size_t{3} * kTile, low_sums);
  add(crossed.get(), cross, cross_sums);
  double both[2] = {};
  if (status == FSYN_CUDA_OK) status = download(both, scalar_sums, 2);
  sums->all = both[0];
  sums->single_all = both[1];
  if (status == FSYN_CUDA_OK) status = download(sums->beta, low_sums, kTile);
  if (status == FSYN_CUDA_OK) status = download(sums->gamma, low_sums + kTile, kTile);
  if (status == FSYN_CUDA_OK) status = download(sums->single, low_sums + 2 * kTile, kTile);
  if (status == FSYN_CUDA_OK) status = download(sums->cross, cross_sums, cross);
  if (status == FSYN_CUDA_OK) status = download(sums->beta_high, by_high.get(), high);
  if (status == FSYN_CUDA_OK) status = download(sums->gamma_high, by_high.get() + high, high);
  if (status == FSYN_CUDA_OK) status = download(sums->single_high, by_high.get() + 2 * high, high);
  return status;
}

}  // namespace fsyn::cuda
