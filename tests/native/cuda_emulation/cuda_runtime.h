#pragma once

// As much of the CUDA runtime as native/cuda uses, on the processor: the kernels' own sources, compiled as
// C++, run one block at a time, its warps one after the other as far as each gets. Slow, and strict where a
// GPU is not: memory of the device and of the host are told apart, what lies around an allocation is watched,
// memory starts as NaN, a missing
// __syncthreads shows, and a barrier or shuffle that not every thread reaches ends the process with a
// message.
//
// It says nothing about speed, about what a GPU's memory order allows, or about the driver.

#include <math.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static __attribute__((section("fsyn_shared")))

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  constexpr dim3(unsigned width = 1, unsigned height = 1, unsigned depth = 1)
      : x(width), y(height), z(depth) {}
};

struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidDevice = 101
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
using cudaStream_t = struct cuda_emulation_stream*;
struct cudaDeviceProp {
  char name[256];
};
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total);
cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);

extern dim3 threadIdx;
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

namespace cuda_emulation {

/// Runs `thread` for every thread of every block.
cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread);

/// The calling thread waits for its block; `line` is where, so that threads that wait at different places are
/// found.
void synchronise_block(int line);

/// What lane `from` of the calling thread's warp put in; every lane must take part at the same `line`.
std::uint64_t exchange(std::uint64_t value, unsigned from, unsigned mask, int line);

/// The calling thread's place in its warp.
unsigned lane();

template <class T>
T shuffle(T value, unsigned from, unsigned mask, int line) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(exchange(std::bit_cast<Bits>(value), from, mask, line)));
}

}  // namespace cuda_emulation

#define __syncthreads() cuda_emulation::synchronise_block(__LINE__)
#define __shfl_xor_sync(mask, value, other) \
  cuda_emulation::shuffle(value, cuda_emulation::lane() ^ static_cast<unsigned>(other), mask, __LINE__)
#define __shfl_down_sync(mask, value, distance) \
  cuda_emulation::shuffle(value, cuda_emulation::lane() + static_cast<unsigned>(distance), mask, __LINE__)

inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline int __popcll(unsigned long long bits) {
  return std::popcount(bits);
}
template <class T>
void __stcs(T* place, const T& value) {
  *place = value;
}
template <class T>
T __ldcs(const T* place) {
  return *place;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  return cuda_emulation::run(*config, [&] { kernel(arguments...); });
}
