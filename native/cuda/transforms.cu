// The in-place linear maps over a table.
#include "cuda/table.cuh"
#include "interactions/transform_kinds.hpp"

namespace fsyn::cuda {

namespace {

using interactions::Transform;

// The 2x2 maps of interactions::Transform.
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
int run_few(double* x, int players, int low, int bits, const Map& map) {
  const std::size_t columns = std::size_t{1} << (players - bits);
  const auto run_bits = [&](auto kernel) {
    return run("transform", kernel, grid(columns), x, low, columns, map);
  };
  switch (bits) {
    case 1:
      return run_bits(few_bits<1, Map>);
    case 2:
      return run_bits(few_bits<2, Map>);
    case 3:
      return run_bits(few_bits<3, Map>);
    default:
      return run_bits(few_bits<4, Map>);
  }
}

template <class Map>
int run_transform(fsyn_cuda_table& table, const Map& map) {
  const int n = table.players;
  int low = 0;
  int status = FSYN_CUDA_OK;
  if (n >= kLowBits) {
    status = run("transform", low_bits<Map>, 1U << (n - kLowBits), table.values, map);
    low = kLowBits;
  }
  while (low < n && status == FSYN_CUDA_OK) {
    if (low >= kLowBits && n - low >= 8) {
      status = run("transform", eight_bits<Map>, 1U << (n - 12), table.values, low, map);
      low += 8;
    } else {
      const int bits = n - low < 4 ? n - low : 4;
      status = run_few(table.values, n, low, bits, map);
      low += bits;
    }
  }
  return status;
}

}  // namespace

int table_transform(fsyn_cuda_table* table, int kind, double p) {
  switch (static_cast<Transform>(kind)) {
    case Transform::kMoebius:
      return run_transform(*table, Moebius{});
    case Transform::kZeta:
      return run_transform(*table, Zeta{});
    case Transform::kCoMoebius:
      return run_transform(*table, CoMoebius{});
    case Transform::kInverseCoMoebius:
      return run_transform(*table, InverseCoMoebius{});
    case Transform::kSupersetSum:
      return run_transform(*table, SupersetSum{});
    case Transform::kSupersetDifference:
      return run_transform(*table, SupersetDifference{});
    case Transform::kWalshHadamard:
      return run_transform(*table, WalshHadamard{});
    case Transform::kBanzhaf:
      return run_transform(*table, Banzhaf{p});
    case Transform::kInverseBanzhaf:
      return run_transform(*table, InverseBanzhaf{p});
    default:
      return fail(FSYN_CUDA_INVALID, "Expected a transform of this plugin.");
  }
}

}  // namespace fsyn::cuda
