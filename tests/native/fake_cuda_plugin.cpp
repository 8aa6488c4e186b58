// A CUDA plugin without CUDA: the plugin's table over host memory, written as plain loops over the documented
// meaning of each entry. With it the whole path from JavaScript to the device call is tested on machines
// without a device.
//
// Built three times: FAKE_DEVICES devices, and with FAKE_ABI as the only version that it speaks.
#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda/plugin.h"

#ifndef FAKE_DEVICES
#define FAKE_DEVICES 1
#endif
#ifndef FAKE_ABI
#define FAKE_ABI FSYN_CUDA_ABI
#endif

struct fsyn_cuda_table {
  int players = 0;
  std::vector<double> values;
};

namespace {

/// Memory of the device: tables of 20 players fit twice, two of 21 do not.
constexpr std::size_t kMemory = std::size_t{24} << 20;

std::size_t used = 0;
thread_local std::string error_text;

int fail(fsyn_cuda_status status, const char* text) {
  error_text = text;
  return status;
}

const char* last_error() {
  return error_text.c_str();
}

int device_count() {
  if (FAKE_DEVICES == 0) error_text = "no CUDA-capable device is detected";
  return FAKE_DEVICES;
}

int device_name(int /*device*/, char* name, std::size_t capacity) {
  std::strncpy(name, "Imitation device", capacity);
  return FSYN_CUDA_OK;
}

int device_memory(std::size_t* available, std::size_t* total) {
  *available = kMemory - used;
  *total = kMemory;
  return FSYN_CUDA_OK;
}

int synchronise() {
  return FSYN_CUDA_OK;
}

int unsupported() {
  return fail(FSYN_CUDA_FAILED, "the imitation has tables only");
}
int allocate(void** /*memory*/, std::size_t /*bytes*/) {
  return unsupported();
}
int release(void* /*memory*/) {
  return unsupported();
}
int to_device(void* /*target*/, const void* /*source*/, std::size_t /*bytes*/, void* /*stream*/) {
  return unsupported();
}
int synchronise_stream(void* /*stream*/) {
  return unsupported();
}
int mask_pixels(const int32_t* /*players*/, const uint8_t* /*present*/, const float* /*image*/,
                const float* /*baseline*/, float* /*out*/, std::size_t /*states*/, std::size_t /*count*/,
                std::size_t /*elements*/, void* /*stream*/) {
  return unsupported();
}
int log_probabilities(const float* /*logits*/, const int64_t* /*targets*/, float* /*out*/,
                      std::size_t /*rows*/, std::size_t /*vocabulary*/, void* /*stream*/) {
  return unsupported();
}

int table_create(int players, fsyn_cuda_table** table) {
  if (players < 1 || players > 31) return fail(FSYN_CUDA_INVALID, "Expected players in 1..31.");
  const std::size_t bytes = sizeof(double) << players;
  if (bytes > kMemory - used) return fail(FSYN_CUDA_OUT_OF_MEMORY, "out of memory");
  auto owned = std::make_unique<fsyn_cuda_table>();
  owned->players = players;
  // Device memory is not initialised: what is not written must not be read as zeros.
  owned->values.assign(std::size_t{1} << players, 1e300);
  used += bytes;
  *table = owned.release();
  return FSYN_CUDA_OK;
}

void table_destroy(fsyn_cuda_table* table) {
  const std::unique_ptr<fsyn_cuda_table> owned(table);
  if (owned) used -= sizeof(double) << owned->players;
}

bool outside(const fsyn_cuda_table* table, std::size_t first, std::size_t count) {
  return first > table->values.size() || count > table->values.size() - first;
}

int table_upload(fsyn_cuda_table* table, std::size_t first, std::size_t count, const double* values) {
  if (outside(table, first, count)) return fail(FSYN_CUDA_INVALID, "Expected entries of the table.");
  std::memcpy(table->values.data() + first, values, count * sizeof(double));
  return FSYN_CUDA_OK;
}

int table_download(const fsyn_cuda_table* table, std::size_t first, std::size_t count, double* values) {
  if (outside(table, first, count)) return fail(FSYN_CUDA_INVALID, "Expected entries of the table.");
  std::memcpy(values, table->values.data() + first, count * sizeof(double));
  return FSYN_CUDA_OK;
}

int table_copy(const fsyn_cuda_table* from, fsyn_cuda_table* to) {
  if (from->players != to->players) return fail(FSYN_CUDA_INVALID, "Expected two tables of the same size.");
  to->values = from->values;
  return FSYN_CUDA_OK;
}

/// The 2x2 matrices of interactions::Transform, row after row.
int table_transform(fsyn_cuda_table* table, int kind, double p) {
  const double maps[9][4] = {{1, 0, -1, 1}, {1, 0, 1, 1},  {0, 1, -1, 1},     {1, -1, 1, 0},    {1, 1, 0, 1},
                             {1, -1, 0, 1}, {1, 1, 1, -1}, {1 - p, p, -1, 1}, {1, -p, 1, 1 - p}};
  if (kind < 0 || kind > 8) return fail(FSYN_CUDA_INVALID, "Expected a transform in 0..8.");
  const auto& map = maps[kind];
  for (int bit = 0; bit < table->players; ++bit) {
    for (std::size_t s = 0; s < table->values.size(); ++s) {
      const std::size_t with = s | (std::size_t{1} << bit);
      if (s == with) continue;
      const double a = table->values[s];
      const double b = table->values[with];
      table->values[s] = map[0] * a + map[1] * b;
      table->values[with] = map[2] * a + map[3] * b;
    }
  }
  return FSYN_CUDA_OK;
}

int table_pair_sums(const fsyn_cuda_table* table, double offset, const double* weights,
                    fsyn_cuda_pair_sums* sums) {
  const int high_bits = table->players - FSYN_CUDA_LOW_BITS;
  if (high_bits < 1) return fail(FSYN_CUDA_INVALID, "Expected 13 players or more.");
  const auto width = static_cast<std::size_t>(table->players) + 1;
  const std::size_t low_count = std::size_t{1} << FSYN_CUDA_LOW_BITS;
  sums->all = 0;
  sums->single_all = 0;
  for (double* low : {sums->beta, sums->gamma, sums->single}) std::fill_n(low, low_count, 0.0);
  for (double* high : {sums->beta_high, sums->gamma_high, sums->single_high}) {
    std::fill_n(high, std::size_t{1} << high_bits, 0.0);
  }
  std::fill_n(sums->cross, static_cast<std::size_t>(high_bits) * FSYN_CUDA_LOW_BITS, 0.0);
  for (std::size_t s = 0; s < table->values.size(); ++s) {
    const auto size = static_cast<std::size_t>(std::popcount(s));
    const std::size_t low = s & (low_count - 1);
    const std::size_t high = s >> FSYN_CUDA_LOW_BITS;
    const double value = table->values[s] - offset;
    const double beta = weights[width + size] * value;
    const double gamma = weights[2 * width + size] * value;
    const double single = weights[4 * width + size] * value;
    sums->all += weights[size] * value;
    sums->single_all += weights[3 * width + size] * value;
    sums->beta[low] += beta;
    sums->gamma[low] += gamma;
    sums->single[low] += single;
    sums->beta_high[high] += beta;
    sums->gamma_high[high] += gamma;
    sums->single_high[high] += single;
    for (std::size_t h = 0; h < static_cast<std::size_t>(high_bits); ++h) {
      if (((high >> h) & 1) == 0) continue;
      for (std::size_t l = 0; l < FSYN_CUDA_LOW_BITS; ++l) {
        if (((low >> l) & 1) != 0) sums->cross[h * FSYN_CUDA_LOW_BITS + l] += gamma;
      }
    }
  }
  return FSYN_CUDA_OK;
}

int table_weigh(const fsyn_cuda_table* from, fsyn_cuda_table* to, const double* weights) {
  if (from->players != to->players) return fail(FSYN_CUDA_INVALID, "Expected two tables of the same size.");
  for (std::size_t s = 0; s < from->values.size(); ++s)
    to->values[s] = weights[std::popcount(s)] * from->values[s];
  return FSYN_CUDA_OK;
}

int table_gather(const fsyn_cuda_table* table, const uint32_t* masks, std::size_t count, double* values) {
  for (std::size_t i = 0; i < count; ++i) {
    if (masks[i] >= table->values.size())
      return fail(FSYN_CUDA_INVALID, "Expected masks of the table's players.");
    values[i] = table->values[masks[i]];
  }
  return FSYN_CUDA_OK;
}

constexpr fsyn_cuda_plugin kPlugin = {
    FAKE_ABI,          last_error,      device_count,  device_name,  device_memory,      synchronise,
    allocate,          release,         to_device,     to_device,    synchronise_stream, mask_pixels,
    log_probabilities, table_create,    table_destroy, table_upload, table_download,     table_copy,
    table_transform,   table_pair_sums, table_weigh,   table_gather};

}  // namespace

extern "C"
#if defined(_WIN32)
    __declspec(dllexport)
#else
    __attribute__((visibility("default")))
#endif
        const fsyn_cuda_plugin* fsyn_cuda_get_plugin(uint32_t abi) {
  return abi == FAKE_ABI ? &kPlugin : nullptr;
}
