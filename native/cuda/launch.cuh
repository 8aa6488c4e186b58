#pragma once

#include <cuda_runtime.h>

namespace fsyn::cuda {

/// Keeps a parameter out of template deduction, so that arguments convert as in a call.
template <class T>
struct Exact {
  using Type = T;
};

/// kernel<<<grid, threads, 0, stream>>>(arguments...) as a call, so that any C++ compiler can read the
/// sources: the tests run them on the processor.
template <class... Parameters>
[[nodiscard]] cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, unsigned threads,
                                 cudaStream_t stream, typename Exact<Parameters>::Type... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace fsyn::cuda
