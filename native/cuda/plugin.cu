// The plugin's one exported function and its table.
#include "cuda/plugin.h"

#include <cstdio>
#include <new>

#include "cuda/kernels.cuh"
#include "cuda/table.cuh"

namespace fsyn::cuda {

namespace {

cudaStream_t stream_of(void* stream) {
  return static_cast<cudaStream_t>(stream);
}

int device_count() {
  int count = 0;
  return check(cudaGetDeviceCount(&count), "cudaGetDeviceCount") == FSYN_CUDA_OK ? count : 0;
}

int device_name(int device, char* name, std::size_t capacity) {
  cudaDeviceProp properties{};
  const int status = check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (status == FSYN_CUDA_OK && capacity > 0) std::snprintf(name, capacity, "%s", properties.name);
  return status;
}

int device_memory(std::size_t* available, std::size_t* total) {
  return check(cudaMemGetInfo(available, total), "cudaMemGetInfo");
}

int synchronise() {
  return check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

int allocate_bytes(void** memory, std::size_t bytes) {
  return check(cudaMalloc(memory, bytes), "cudaMalloc");
}

int release(void* memory) {
  return check(cudaFree(memory), "cudaFree");
}

int to_device(void* target, const void* source, std::size_t bytes, void* stream) {
  return check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream_of(stream)), "upload");
}

int to_host(void* target, const void* source, std::size_t bytes, void* stream) {
  return check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream_of(stream)), "download");
}

int synchronise_stream(void* stream) {
  return check(cudaStreamSynchronize(stream_of(stream)), "cudaStreamSynchronize");
}

int mask_states(const int32_t* players_of, const uint8_t* present, const float* image, const float* baseline,
                float* out, std::size_t states, std::size_t players, std::size_t elements, void* stream) {
  return check(
      mask_pixels(players_of, present, image, baseline, out, states, players, elements, stream_of(stream)),
      "mask_pixels");
}

int score_targets(const float* logits, const int64_t* targets, float* out, std::size_t rows,
                  std::size_t vocabulary, void* stream) {
  return check(log_probabilities(logits, targets, out, rows, vocabulary, stream_of(stream)),
               "log_probabilities");
}

/// Exceptions (host memory) must not cross the C interface.
template <auto kFunction, class... Arguments>
int guarded(Arguments... arguments) {
  try {
    return kFunction(arguments...);
  } catch (const std::bad_alloc&) {
    return fail(FSYN_CUDA_OUT_OF_MEMORY, "Out of host memory.");
  } catch (...) {
    return fail(FSYN_CUDA_FAILED, "Unexpected failure in the CUDA plugin.");
  }
}

constexpr fsyn_cuda_plugin kPlugin = {FSYN_CUDA_ABI,
                                      last_error,
                                      device_count,
                                      guarded<device_name>,
                                      device_memory,
                                      synchronise,
                                      allocate_bytes,
                                      release,
                                      to_device,
                                      to_host,
                                      synchronise_stream,
                                      mask_states,
                                      score_targets,
                                      guarded<table_create>,
                                      table_destroy,
                                      guarded<table_upload>,
                                      guarded<table_download>,
                                      guarded<table_copy>,
                                      guarded<table_transform>,
                                      guarded<table_pair_sums>,
                                      guarded<table_weigh>,
                                      guarded<table_gather>};

}  // namespace

}  // namespace fsyn::cuda

extern "C"
#if defined(_WIN32)
    __declspec(dllexport)
#else
    __attribute__((visibility("default")))
#endif
        const fsyn_cuda_plugin* fsyn_cuda_get_plugin(uint32_t abi) {
  return abi == FSYN_CUDA_ABI ? &fsyn::cuda::kPlugin : nullptr;
}
