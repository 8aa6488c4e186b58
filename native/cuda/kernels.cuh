#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace fsyn::cuda {

/// See fsyn_cuda_plugin::mask_pixels.
[[nodiscard]] cudaError_t mask_pixels(const int32_t* players_of, const uint8_t* present, const float* image,
                                      const float* baseline, float* out, size_t states, size_t players,
                                      size_t elements, cudaStream_t stream);

/// See fsyn_cuda_plugin::log_probabilities.
[[nodiscard]] cudaError_t log_probabilities(const float* logits, const int64_t* targets, float* out,
                                            size_t rows, size_t vocabulary, cudaStream_t stream);

}  // namespace fsyn::cuda
