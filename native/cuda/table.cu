// Tables in device memory.
#include "cuda/table.cuh"

namespace fsyn::cuda {

namespace {

thread_local std::string error_text;

int check_range(const fsyn_cuda_table* table, std::size_t first, std::size_t count) {
  const std::size_t size = std::size_t{1} << table->players;
  return first <= size && count <= size - first ? FSYN_CUDA_OK
                                                : fail(FSYN_CUDA_INVALID, "Expected entries of the table.");
}

}  // namespace

const char* last_error() {
  return error_text.c_str();
}

int fail(fsyn_cuda_status status, const std::string& text) {
  error_text = text;
  return status;
}

int check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return FSYN_CUDA_OK;
  // An error of a launch stays in the runtime until it is read.
  (void)cudaGetLastError();
  return fail(error == cudaErrorMemoryAllocation ? FSYN_CUDA_OUT_OF_MEMORY : FSYN_CUDA_FAILED,
              std::string(what) + ": " + cudaGetErrorString(error));
}

int table_create(int players, fsyn_cuda_table** table) {
  if (players < 1 || players > 31) return fail(FSYN_CUDA_INVALID, "Expected players in 1..31.");
  DeviceArray<double> values;
  const int status = allocate(std::size_t{1} << players, values);
  if (status != FSYN_CUDA_OK) return status;
  auto owned = std::make_unique<fsyn_cuda_table>();
  owned->players = players;
  owned->values = values.release();
  *table = owned.release();
  return FSYN_CUDA_OK;
}

void table_destroy(fsyn_cuda_table* table) {
  const std::unique_ptr<fsyn_cuda_table> owned(table);
  if (owned) (void)cudaFree(owned->values);
}

int table_upload(fsyn_cuda_table* table, std::size_t first, std::size_t count, const double* values) {
  const int status = check_range(table, first, count);
  if (status != FSYN_CUDA_OK) return status;
  return check(cudaMemcpy(table->values + first, values, count * sizeof(double), cudaMemcpyHostToDevice),
               "upload");
}

int table_download(const fsyn_cuda_table* table, std::size_t first, std::size_t count, double* values) {
  const int status = check_range(table, first, count);
  return status == FSYN_CUDA_OK ? download(values, table->values + first, count) : status;
}

int table_copy(const fsyn_cuda_table* from, fsyn_cuda_table* to) {
  if (from->players != to->players) return fail(FSYN_CUDA_INVALID, "Expected two tables of the same size.");
  return check(
      cudaMemcpyAsync(to->values, from->values, sizeof(double) << from->players, cudaMemcpyDeviceToDevice),
      "copy");
}

}  // namespace fsyn::cuda
