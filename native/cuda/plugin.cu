#include "cuda/plugin.h"

#include "cuda/kernels.cuh"

namespace {

cudaStream_t stream_of(void* stream) {
  return static_cast<cudaStream_t>(stream);
}

int device_count() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  return error == cudaSuccess ? count : -static_cast<int>(error);
}

const char* error_text(int code) {
  return cudaGetErrorString(static_cast<cudaError_t>(code < 0 ? -code : code));
}

int allocate(void** memory, size_t bytes) {
  return cudaMalloc(memory, bytes);
}

int release(void* memory) {
  return cudaFree(memory);
}

int to_device(void* target, const void* source, size_t bytes, void* stream) {
  return cudaMemcpyAsync(target, source, bytes, cudaMemcpyHostToDevice, stream_of(stream));
}

int to_host(void* target, const void* source, size_t bytes, void* stream) {
  return cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToHost, stream_of(stream));
}

int synchronise(void* stream) {
  return cudaStreamSynchronize(stream_of(stream));
}

int mask_pixels(const int32_t* players_of, const uint8_t* present, const float* image, const float* baseline,
                float* out, size_t states, size_t players, size_t elements, void* stream) {
  return fsyn::cuda::mask_pixels(players_of, present, image, baseline, out, states, players, elements,
                                 stream_of(stream));
}

int log_probabilities(const float* logits, const int64_t* targets, float* out, size_t rows, size_t vocabulary,
                      void* stream) {
  return fsyn::cuda::log_probabilities(logits, targets, out, rows, vocabulary, stream_of(stream));
}

constexpr fsyn_cuda_plugin kPlugin = {FSYN_CUDA_ABI, device_count,     error_text, allocate,
                                      release,       to_device,        to_host,    synchronise,
                                      mask_pixels,   log_probabilities};

}  // namespace

extern "C" __attribute__((visibility("default"))) const fsyn_cuda_plugin* fsyn_cuda_get_plugin(uint32_t abi) {
  return abi == FSYN_CUDA_ABI ? &kPlugin : nullptr;
}
