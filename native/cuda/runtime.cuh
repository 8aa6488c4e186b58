#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

#include "cuda/launch.cuh"
#include "cuda/plugin.h"

// What the kernels' host code shares: statuses, device memory, launch sizes.
namespace fsyn::cuda {

/// Threads per block of the table kernels.
constexpr int kThreads = 256;

[[nodiscard]] inline unsigned grid(std::size_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

/// Text of the calling thread's last failure.
[[nodiscard]] const char* last_error();

/// Keeps the text for last_error() and returns the status.
int fail(fsyn_cuda_status status, const std::string& text);

/// The status of a CUDA call; `what` begins the text of a failure.
int check(cudaError_t error, const char* what);

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

/// Launches a table kernel on the default stream; the status is that of the launch.
template <class... Parameters>
int run(const char* what, void (*kernel)(Parameters...), unsigned blocks,
        typename Exact<Parameters>::Type... arguments) {
  return check(launch(kernel, dim3(blocks), kThreads, nullptr, arguments...), what);
}

inline int download(double* to, const double* from, std::size_t count) {
  return check(cudaMemcpy(to, from, count * sizeof(double), cudaMemcpyDeviceToHost), "download");
}

}  // namespace fsyn::cuda
