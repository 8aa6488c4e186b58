#include <math_constants.h>

#include "cuda/kernels.cuh"
#include "cuda/launch.cuh"

namespace fsyn::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kWarp = 32;

/// Largest value seen and the sum of exp(value - largest); the pair of an empty set is (-infinity, 0).
struct Partial {
  float largest;
  float sum;
};

__device__ Partial merge(Partial a, Partial b) {
  const float largest = fmaxf(a.largest, b.largest);
  // Two empty sets: infinity minus infinity would make a NaN out of nothing.
  if (largest == -CUDART_INF_F) return {largest, a.sum + b.sum};
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

__device__ Partial add(Partial state, float value) {
  // fmaxf drops NaN; adding the value itself keeps it.
  if (value != value) return {state.largest, value};
  return merge(state, {value, value == -CUDART_INF_F ? 0.0F : 1.0F});
}

/// Every merge has a fixed place, so a row gives the same bytes in every run.
__device__ Partial merge_block(Partial own) {
  __shared__ Partial warps[kThreads / kWarp];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    own = merge(own, {__shfl_down_sync(0xFFFFFFFFU, own.largest, offset),
                      __shfl_down_sync(0xFFFFFFFFU, own.sum, offset)});
  }
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = own;
  __syncthreads();
  Partial total = warps[0];
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < kThreads / kWarp; ++warp) total = merge(total, warps[warp]);
  }
  return total;
}

/// One block per row; bound by reading the logits once.
__global__ void score_rows(const float* __restrict__ logits, const int64_t* __restrict__ targets,
                           float* __restrict__ out, size_t vocabulary) {
  const float* row = logits + static_cast<size_t>(blockIdx.x) * vocabulary;
  Partial state = {-CUDART_INF_F, 0.0F};
  for (size_t i = threadIdx.x; i < vocabulary; i += kThreads) state = add(state, __ldcs(row + i));
  state = merge_block(state);
  if (threadIdx.x == 0) out[blockIdx.x] = row[targets[blockIdx.x]] - state.largest - logf(state.sum);
}

}  // namespace

cudaError_t log_probabilities(const float* logits, const int64_t* targets, float* out, size_t rows,
                              size_t vocabulary, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  return launch(score_rows, dim3(static_cast<unsigned>(rows)), kThreads, stream, logits, targets, out,
                vocabulary);
}

}  // namespace fsyn::cuda
