#include "cuda/kernels.cuh"
#include "cuda/launch.cuh"

namespace fsyn::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kVector = 4;

__device__ float chosen(const uint8_t* present, int player, float image, float baseline) {
  return player < 0 || present[player] != 0 ? image : baseline;
}

/// Bound by writing the output: image, baseline and players are read once and serve every state of the batch.
__global__ void mask_vectors(const int4* __restrict__ players_of, const uint8_t* __restrict__ present,
                             const float4* __restrict__ image, const float4* __restrict__ baseline,
                             float4* __restrict__ out, size_t states, size_t players, size_t vectors) {
  const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= vectors) return;
  const int4 owner = players_of[i];
  const float4 shown = image[i];
  const float4 hidden = baseline[i];
  for (size_t state = blockIdx.y; state < states; state += gridDim.y) {
    const uint8_t* row = present + state * players;
    const float4 value =
        make_float4(chosen(row, owner.x, shown.x, hidden.x), chosen(row, owner.y, shown.y, hidden.y),
                    chosen(row, owner.z, shown.z, hidden.z), chosen(row, owner.w, shown.w, hidden.w));
    // Nobody reads the output before the whole batch is written: it need not stay in the cache.
    __stcs(out + state * vectors + i, value);
  }
}

__global__ void mask_elements(const int32_t* __restrict__ players_of, const uint8_t* __restrict__ present,
                              const float* __restrict__ image, const float* __restrict__ baseline,
                              float* __restrict__ out, size_t states, size_t players, size_t elements) {
  const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  for (size_t state = blockIdx.y; state < states; state += gridDim.y) {
    out[state * elements + i] = chosen(present + state * players, players_of[i], image[i], baseline[i]);
  }
}

unsigned blocks(size_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t mask_pixels(const int32_t* players_of, const uint8_t* present, const float* image,
                        const float* baseline, float* out, size_t states, size_t players, size_t elements,
                        cudaStream_t stream) {
  if (states == 0 || elements == 0) return cudaSuccess;
  // Few rows of blocks, so that a thread's registers serve several states.
  const auto rows = static_cast<unsigned>(states < 8 ? 1 : (states + 7) / 8 < 64 ? (states + 7) / 8 : 64);
  if (elements % kVector == 0) {
    const size_t vectors = elements / kVector;
    return launch(mask_vectors, dim3(blocks(vectors), rows), kThreads, stream,
                  reinterpret_cast<const int4*>(players_of), present, reinterpret_cast<const float4*>(image),
                  reinterpret_cast<const float4*>(baseline), reinterpret_cast<float4*>(out), states, players,
                  vectors);
  }
  return launch(mask_elements, dim3(blocks(elements), rows), kThreads, stream, players_of, present, image,
                baseline, out, states, players, elements);
}

}  // namespace fsyn::cuda
