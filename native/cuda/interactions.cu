// Transforms, all-pairs sums and gathers over tables in device memory: the GPU twins of native/interactions.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cuda/interactions_abi.hpp"

namespace fsyn::cuda {

struct DeviceTable {
  int players = 0;
  double* values = nullptr;
};

namespace {

constexpr int kThreads = 256;
constexpr int kRegisters = 16;
constexpr int kTile = kThreads * kRegisters;  // 2^12 values: the low bits of a pass
static_assert(kTile == 1 << kLowBits);
constexpr int kMaxSizes = 32;

thread_local std::string error_text;

int fail(Status status, const std::string& text) {
  error_text = text;
  return status;
}

int check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return kOk;
  // An error of a launch stays in the runtime until it is read.
  (void)cudaGetLastError();
  return fail(error == cudaErrorMemoryAllocation ? kOutOfMemory : kFailed,
              std::string(what) + ": " + cudaGetErrorString(error));
}

struct DeviceFree {
  void operator()(void* memory) const { (void)cudaFree(memory); }
};
template <class T>
using DeviceArray = std::unique_ptr<T[], DeviceFree>;

template <class T>
int allocate(std::size_t count, DeviceArray<T>& array) {
  void* memory = nullptr;
  const int status = check(cudaMalloc(&memory, count * sizeof(T)), "cudaMalloc");
  array.reset(static_cast<T*>(memory));
  return status;
}

// The 2x2 maps, in the order of interactions::Transform.
struct Moebius {
  __device__ void operator()(double& a, double& b) const { b -= a; }
};
struct Zeta {
  __device__ void operator()(double& a, double& b) const { b += a; }
};
struct CoMoebius {
  __device__ void operator()(double& a, double& b) const {
    const double with = b;
    b -= a;
    a = with;
  }
};
struct InverseCoMoebius {
  __device__ void operator()(double& a, double& b) const {
    const double with = a;
    a -= b;
    b = with;
  }
};
struct SupersetSum {
  __device__ void operator()(double& a, double& b) const { a += b; }
};
struct SupersetDifference {
  __device__ void operator()(double& a, double& b) const { a -= b; }
};
struct WalshHadamard {
  __device__ void operator()(double& a, double& b) const {
    const double sum = a + b;
    b = a - b;
    a = sum;
  }
};
struct Banzhaf {
  double p;
  __device__ void operator()(double& a, double& b) const {
    b -= a;
    a = fma(p, b, a);
  }
};
struct InverseBanzhaf {
  double p;
  __device__ void operator()(double& a, double& b) const {
    a -= p * b;
    b += a;
  }
};

/// Four bits at once: r[i] with bit k of i as the k-th of them.
template <class Map>
__device__ __forceinline__ void radix16(double (&r)[kRegisters], const Map& map) {
#pragma unroll
  for (int bit = 1; bit < kRegisters; bit <<= 1) {
#pragma unroll
    for (int i = 0; i < kRegisters; ++i) {
      if ((i & bit) == 0) map(r[i], r[i | bit]);
    }
  }
}

/// One padding value per 16, so that neither reading by rows nor by columns of 16 meets in one bank.
__device__ __forceinline__ int padded(int i) {
  return i + (i >> 4);
}

/// x: grid * 2^12 values; each block transforms the 12 low bits of its own 2^12, with one read and one write.
template <class Map>
__global__ void __launch_bounds__(kThreads) low_bits(double* __restrict__ x, Map map) {
  __shared__ double exchange[kTile + kTile / 16];
  const int t = static_cast<int>(threadIdx.x);
  double* const own = x + (static_cast<std::size_t>(blockIdx.x) << kLowBits);
  double r[kRegisters];
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) r[i] = own[i * kThreads + t];
  radix16(r, map);  // bits 8..11
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) exchange[padded(i * kThreads + t)] = r[i];
  __syncthreads();
  const int row = (t >> 4) * kThreads + (t & 15);
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) r[i] = exchange[padded(row + i * 16)];
  radix16(r, map);  // bits 4..7
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) exchange[padded(row + i * 16)] = r[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) r[i] = exchange[padded(t * 16 + i)];
  radix16(r, map);  // bits 0..3
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) exchange[padded(t * 16 + i)] = r[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) own[i * kThreads + t] = exchange[padded(i * kThreads + t)];
}

/// Eight bits from `low` (>= 12) on: each block has 2^8 rows at stride 2^low of 16 neighbouring columns.
template <class Map>
__global__ void __launch_bounds__(kThreads) eight_bits(double* __restrict__ x, int low, Map map) {
  __shared__ double exchange[256][17];
  const std::size_t stride = std::size_t{1} << low;
  const std::size_t tiles = stride >> 4;
  const std::size_t outer = blockIdx.x / tiles;
  const std::size_t first = (blockIdx.x % tiles) << 4;
  double* const own = x + (outer << (low + 8)) + first;
  const int column = static_cast<int>(threadIdx.x) & 15;
  const int group = static_cast<int>(threadIdx.x) >> 4;
  double r[kRegisters];
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) r[i] = own[static_cast<std::size_t>(i * 16 + group) * stride + column];
  radix16(r, map);  // the upper four of the eight
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) exchange[i * 16 + group][column] = r[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) r[i] = exchange[group * 16 + i][column];
  radix16(r, map);  // the lower four
#pragma unroll
  for (int i = 0; i < kRegisters; ++i) own[static_cast<std::size_t>(group * 16 + i) * stride + column] = r[i];
}

/// kBits (1..4) bits from `low` on, one column per thread; threads in all: 2^(players - kBits).
template <int kBits, class Map>
__global__ void __launch_bounds__(kThreads)
    few_bits(double* __restrict__ x, int low, std::size_t columns, Map map) {
  const std::size_t index = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= columns) return;
  const std::size_t stride = std::size_t{1} << low;
  double* const own = x + ((index >> low) << (low + kBits)) + (index & (stride - 1));
  double r[1 << kBits];
#pragma unroll
  for (int i = 0; i < (1 << kBits); ++i) r[i] = own[i * stride];
#pragma unroll
  for (int bit = 1; bit < (1 << kBits); bit <<= 1) {
#pragma unroll
    for (int i = 0; i < (1 << kBits); ++i) {
      if ((i & bit) == 0) map(r[i], r[i | bit]);
    }
  }
#pragma unroll
  for (int i = 0; i < (1 << kBits); ++i) own[i * stride] = r[i];
}

template <class Map>
void launch_few(double* x, int players, int low, int bits, const Map& map) {
  const std::size_t columns = std::size_t{1} << (players - bits);
  const auto blocks = static_cast<unsigned>((columns + kThreads - 1) / kThreads);
  switch (bits) {
    case 1:
      few_bits<1><<<blocks, kThreads>>>(x, low, columns, map);
      break;
    case 2:
      few_bits<2><<<blocks, kThreads>>>(x, low, columns, map);
      break;
    case 3:
      few_bits<3><<<blocks, kThreads>>>(x, low, columns, map);
      break;
    default:
      few_bits<4><<<blocks, kThreads>>>(x, low, columns, map);
      break;
  }
}

template <class Map>
int run_transform(DeviceTable& table, const Map& map) {
  const int n = table.players;
  int low = 0;
  if (n >= kLowBits) {
    low_bits<<<1U << (n - kLowBits), kThreads>>>(table.values, map);
    low = kLowBits;
  }
  while (low < n) {
    if (low >= kLowBits && n - low >= 8) {
      eight_bits<<<1U << (n - 12), kThreads>>>(table.values, low, map);
      low += 8;
    } else {
      const int bits = n - low < 4 ? n - low : 4;
      launch_few(table.values, n, low, bits, map);
      low += bits;
    }
  }
  return check(cudaGetLastError(), "transform");
}

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

__global__ void __launch_bounds__(kThreads)
    weigh_kernel(const double* from, double* to, const double* __restrict__ weights, std::size_t count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = weights[__popcll(i)] * from[i];
}

__global__ void __launch_bounds__(kThreads)
    gather_kernel(const double* __restrict__ from, const unsigned* __restrict__ masks, std::size_t count,
                  double* __restrict__ values) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) values[i] = from[masks[i]];
}

unsigned grid(std::size_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

const char* last_error() {
  return error_text.c_str();
}

int device_count() {
  int count = 0;
  if (check(cudaGetDeviceCount(&count), "cudaGetDeviceCount") != kOk) return 0;
  return count;
}

int device_name(int device, char* name, std::size_t capacity) {
  cudaDeviceProp properties{};
  const int status = check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (status == kOk && capacity > 0) std::snprintf(name, capacity, "%s", properties.name);
  return status;
}

int table_create(int players, DeviceTable** table) {
  if (players < 1 || players > 31) return fail(kInvalid, "Expected players in 1..31.");
  DeviceArray<double> values;
  const int status = allocate(std::size_t{1} << players, values);
  if (status != kOk) return status;
  auto owned = std::make_unique<DeviceTable>();
  owned->players = players;
  owned->values = values.release();
  *table = owned.release();
  return kOk;
}

void table_destroy(DeviceTable* table) {
  const std::unique_ptr<DeviceTable> owned(table);
  if (owned) (void)cudaFree(owned->values);
}

std::size_t bytes(const DeviceTable& table) {
  return sizeof(double) << table.players;
}

int table_upload(DeviceTable* table, const double* values) {
  return check(cudaMemcpy(table->values, values, bytes(*table), cudaMemcpyHostToDevice), "upload");
}

int table_download(const DeviceTable* table, double* values) {
  return check(cudaMemcpy(values, table->values, bytes(*table), cudaMemcpyDeviceToHost), "download");
}

int table_copy(const DeviceTable* from, DeviceTable* to) {
  if (from->players != to->players) return fail(kInvalid, "Expected two tables of the same size.");
  return check(cudaMemcpyAsync(to->values, from->values, bytes(*from), cudaMemcpyDeviceToDevice), "copy");
}

int transform(DeviceTable* table, int kind, double p) {
  switch (kind) {
    case 0:
      return run_transform(*table, Moebius{});
    case 1:
      return run_transform(*table, Zeta{});
    case 2:
      return run_transform(*table, CoMoebius{});
    case 3:
      return run_transform(*table, InverseCoMoebius{});
    case 4:
      return run_transform(*table, SupersetSum{});
    case 5:
      return run_transform(*table, SupersetDifference{});
    case 6:
      return run_transform(*table, WalshHadamard{});
    case 7:
      return run_transform(*table, Banzhaf{p});
    case 8:
      return run_transform(*table, InverseBanzhaf{p});
    default:
      return fail(kInvalid, "Expected a transform in 0..8.");
  }
}

int download(double* to, const double* from, std::size_t count) {
  return check(cudaMemcpy(to, from, count * sizeof(double), cudaMemcpyDeviceToHost), "download");
}

int pair_sums(const DeviceTable* table, double offset, const double* weights, PairSumsView* sums) {
  const int high_bits = table->players - kLowBits;
  if (high_bits < 1) return fail(kInvalid, "Expected 13 players or more.");
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
  if (status == kOk) status = allocate(std::size_t{2} * (kChunks + 1), scalars);
  if (status == kOk) status = allocate(std::size_t{3} * kTile * (kChunks + 1), low);
  if (status == kOk) status = allocate(cross * (kChunks + 1), crossed);
  if (status == kOk) status = allocate(3 * high, by_high);
  if (status == kOk) {
    status = check(
        cudaMemcpy(device_rows.get(), rows.data(), rows.size() * sizeof(double), cudaMemcpyHostToDevice),
        "upload of weights");
  }
  if (status != kOk) return status;
  const ChunkOutput out{scalars.get(), low.get(), crossed.get(), by_high.get()};
  pair_sums_kernel<<<kChunks, kThreads>>>(table->values, offset, high_bits, device_rows.get(), out);
  double* const scalar_sums = scalars.get() + 2 * kChunks;
  double* const low_sums = low.get() + std::size_t{3} * kTile * kChunks;
  double* const cross_sums = crossed.get() + cross * kChunks;
  add_chunks<<<1, kThreads>>>(scalars.get(), 2, kChunks, scalar_sums);
  add_chunks<<<grid(std::size_t{3} * kTile), kThreads>>>(low.get(), std::size_t{3} * kTile, kChunks,
                                                         low_sums);
  add_chunks<<<grid(cross), kThreads>>>(crossed.get(), cross, kChunks, cross_sums);
  status = check(cudaGetLastError(), "pair_sums");
  double both[2] = {};
  if (status == kOk) status = download(both, scalar_sums, 2);
  sums->all = both[0];
  sums->single_all = both[1];
  if (status == kOk) status = download(sums->beta, low_sums, kTile);
  if (status == kOk) status = download(sums->gamma, low_sums + kTile, kTile);
  if (status == kOk) status = download(sums->single, low_sums + 2 * kTile, kTile);
  if (status == kOk) status = download(sums->cross, cross_sums, cross);
  if (status == kOk) status = download(sums->beta_high, by_high.get(), high);
  if (status == kOk) status = download(sums->gamma_high, by_high.get() + high, high);
  if (status == kOk) status = download(sums->single_high, by_high.get() + 2 * high, high);
  return status;
}

int weigh(const DeviceTable* from, DeviceTable* to, const double* weights) {
  if (from->players != to->players) return fail(kInvalid, "Expected two tables of the same size.");
  const auto sizes = static_cast<std::size_t>(from->players + 1);
  DeviceArray<double> device_weights;
  int status = allocate(sizes, device_weights);
  if (status == kOk) {
    status = check(cudaMemcpy(device_weights.get(), weights, sizes * sizeof(double), cudaMemcpyHostToDevice),
                   "upload");
  }
  if (status != kOk) return status;
  const std::size_t count = std::size_t{1} << from->players;
  weigh_kernel<<<grid(count), kThreads>>>(from->values, to->values, device_weights.get(), count);
  // The weights must outlive the kernel; cudaFree waits for it.
  return check(cudaGetLastError(), "weigh");
}

int gather(const DeviceTable* table, const unsigned* masks, std::size_t count, double* values) {
  if (count == 0) return kOk;
  for (std::size_t i = 0; i < count; ++i) {
    if ((masks[i] >> (table->players - 1)) > 1)
      return fail(kInvalid, "Expected masks of the table's players.");
  }
  DeviceArray<unsigned> device_masks;
  DeviceArray<double> gathered;
  int status = allocate(count, device_masks);
  if (status == kOk) status = allocate(count, gathered);
  if (status == kOk) {
    status = check(cudaMemcpy(device_masks.get(), masks, count * sizeof(unsigned), cudaMemcpyHostToDevice),
                   "upload");
  }
  if (status != kOk) return status;
  gather_kernel<<<grid(count), kThreads>>>(table->values, device_masks.get(), count, gathered.get());
  status = check(cudaGetLastError(), "gather");
  return status == kOk ? download(values, gathered.get(), count) : status;
}

int synchronize() {
  return check(cudaDeviceSynchronize(), "synchronize");
}

/// Exceptions (host memory) must not cross the C interface.
template <auto kFunction, class... Arguments>
int guarded(Arguments... arguments) {
  try {
    return kFunction(arguments...);
  } catch (const std::bad_alloc&) {
    return fail(kOutOfMemory, "Out of host memory.");
  } catch (...) {
    return fail(kFailed, "Unexpected failure in the CUDA plugin.");
  }
}

}  // namespace
}  // namespace fsyn::cuda

extern "C"
#if defined(_WIN32)
    __declspec(dllexport)
#else
    __attribute__((visibility("default")))
#endif
        const fsyn::cuda::InteractionsApi* fsyn_cuda_interactions(int abi) {
  using namespace fsyn::cuda;
  static const InteractionsApi api{
      kInteractionsAbi,
      last_error,
      device_count,
      guarded<device_name, int, char*, std::size_t>,
      guarded<table_create, int, DeviceTable**>,
      table_destroy,
      guarded<table_upload, DeviceTable*, const double*>,
      guarded<table_download, const DeviceTable*, double*>,
      guarded<table_copy, const DeviceTable*, DeviceTable*>,
      guarded<transform, DeviceTable*, int, double>,
      guarded<pair_sums, const DeviceTable*, double, const double*, PairSumsView*>,
      guarded<weigh, const DeviceTable*, DeviceTable*, const double*>,
      guarded<gather, const DeviceTable*, const unsigned*, std::size_t, double*>,
      synchronize};
  return abi == kInteractionsAbi ? &api : nullptr;
}
