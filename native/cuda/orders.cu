// What the indices of an order need beside transforms: weights by size, and the values of some coalitions.
#include "cuda/runtime.cuh"
#include "cuda/table.cuh"

namespace fsyn::cuda {

namespace {

__global__ void __launch_bounds__(kThreads)
    weigh_kernel(const double* from, double* to, const double* __restrict__ weights, std::size_t count) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) to[i] = weights[__popcll(i)] * from[i];
}

__global__ void __launch_bounds__(kThreads)
    gather_kernel(const double* __restrict__ from, const uint32_t* __restrict__ masks, std::size_t count,
                  double* __restrict__ values) {
  const std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) values[i] = from[masks[i]];
}

}  // namespace

int table_weigh(const fsyn_cuda_table* from, fsyn_cuda_table* to, const double* weights) {
  if (from->players != to->players) return fail(FSYN_CUDA_INVALID, "Expected two tables of the same size.");
  const auto sizes = static_cast<std::size_t>(from->players + 1);
  DeviceArray<double> device_weights;
  int status = allocate(sizes, device_weights);
  if (status == FSYN_CUDA_OK) {
    status = check(cudaMemcpy(device_weights.get(), weights, sizes * sizeof(double), cudaMemcpyHostToDevice),
                   "upload");
  }
  if (status != FSYN_CUDA_OK) return status;
  const std::size_t count = std::size_t{1} << from->players;
  // The weights must outlive the kernel; cudaFree waits for it.
  return run("weigh", weigh_kernel, grid(count), from->values, to->values, device_weights.get(), count);
}

int table_gather(const fsyn_cuda_table* table, const uint32_t* masks, std::size_t count, double* values) {
  if (count == 0) return FSYN_CUDA_OK;
  for (std::size_t i = 0; i < count; ++i) {
    if ((masks[i] >> (table->players - 1)) > 1)
      return fail(FSYN_CUDA_INVALID, "Expected masks of the table's players.");
  }
  DeviceArray<uint32_t> device_masks;
  DeviceArray<double> gathered;
  int status = allocate(count, device_masks);
  if (status == FSYN_CUDA_OK) status = allocate(count, gathered);
  if (status == FSYN_CUDA_OK) {
    status = check(cudaMemcpy(device_masks.get(), masks, count * sizeof(uint32_t), cudaMemcpyHostToDevice),
                   "upload");
  }
  if (status != FSYN_CUDA_OK) return status;
  status =
      run("gather", gather_kernel, grid(count), table->values, device_masks.get(), count, gathered.get());
  return status == FSYN_CUDA_OK ? download(values, gathered.get(), count) : status;
}

}  // namespace fsyn::cuda
