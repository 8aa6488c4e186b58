#ifndef FSYN_CUDA_PLUGIN_H
#define FSYN_CUDA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/* The CUDA plugin is a library of its own that the addon finds at run time, so that the addon needs no CUDA.
   Plain C types only: nvcc builds it with its own runtime library. One exported function returns this table.

   Entries return 0 or another fsyn_cuda_status, whose text last_error() has for the calling thread; none
   throws. Pointers named device_* are device memory; streams are cudaStream_t, null for the default stream.
   Sums have a fixed order: the same input gives the same bytes. */

#define FSYN_CUDA_ABI 2u

/* Low bits of an index that one thread block of pair_sums holds. */
#define FSYN_CUDA_LOW_BITS 12

#ifdef __cplusplus
extern "C" {
#endif

enum fsyn_cuda_status {
  FSYN_CUDA_OK = 0,
  FSYN_CUDA_INVALID = 1,       /* a parameter is out of range */
  FSYN_CUDA_OUT_OF_MEMORY = 2, /* the device (or the host) has not that much memory */
  FSYN_CUDA_FAILED = 3         /* the CUDA runtime reported an error */
};

/* 2^players doubles of device memory; entry S is the value of the coalition with bit mask S. Calls on one
   table must not overlap. */
typedef struct fsyn_cuda_table fsyn_cuda_table;

/* What pair_sums leaves for the host to finish; see interactions::PairSums for the meaning. */
typedef struct fsyn_cuda_pair_sums {
  double all;          /* sum of alpha v */
  double single_all;   /* sum of alpha_single v */
  double* beta;        /* [2^12] by low part */
  double* gamma;       /* [2^12] */
  double* single;      /* [2^12] */
  double* cross;       /* [players - 12][12] */
  double* beta_high;   /* [2^(players - 12)] by high part */
  double* gamma_high;  /* [2^(players - 12)] */
  double* single_high; /* [2^(players - 12)] */
} fsyn_cuda_pair_sums;

typedef struct fsyn_cuda_plugin {
  uint32_t abi;
  const char* (*last_error)(void);

  /* Number of usable devices; 0 without a driver, with the reason in last_error(). */
  int (*device_count)(void);
  /* Name of a device, cut to `capacity` bytes. */
  int (*device_name)(int device, char* name, size_t capacity);
  /* Bytes of the current device that are free, and all of them. */
  int (*device_memory)(size_t* available, size_t* total);
  /* Waits for everything asked of the device. */
  int (*synchronise)(void);

  int (*allocate)(void** device_memory, size_t bytes);
  int (*release)(void* device_memory);
  int (*to_device)(void* device_target, const void* source, size_t bytes, void* stream);
  int (*to_host)(void* target, const void* device_source, size_t bytes, void* stream);
  int (*synchronise_stream)(void* stream);

  /* Twin of masking::PixelMask::apply for a batch of image states.
     device_players [elements]: image player of every element, -1 for none. device_present [states, players]
     bytes. device_image, device_baseline [elements]; device_out [states, elements]. */
  int (*mask_pixels)(const int32_t* device_players, const uint8_t* device_present, const float* device_image,
                     const float* device_baseline, float* device_out, size_t states, size_t players,
                     size_t elements, void* stream);
  /* Twin of scoring::log_probability for many rows: device_logits [rows, vocabulary], device_targets [rows],
     device_out [rows]. A row with values that are not numbers gives NaN. */
  int (*log_probabilities)(const float* device_logits, const int64_t* device_targets, float* device_out,
                           size_t rows, size_t vocabulary, void* stream);

  /* A table on the current device, not initialised; players in 1..31. */
  int (*table_create)(int players, fsyn_cuda_table** table);
  void (*table_destroy)(fsyn_cuda_table* table);
  /* Entries [first, first + count) from and to host memory. */
  int (*table_upload)(fsyn_cuda_table* table, size_t first, size_t count, const double* values);
  int (*table_download)(const fsyn_cuda_table* table, size_t first, size_t count, double* values);
  /* Copies one table to another of the same size on the device. */
  int (*table_copy)(const fsyn_cuda_table* from, fsyn_cuda_table* to);
  /* In place; `kind` as interactions::Transform. */
  int (*table_transform)(fsyn_cuda_table* table, int kind, double p);
  /* One read of the table, 13 players or more. Weights by size: [5][players + 1] alpha, beta, gamma,
     alpha_single, single. */
  int (*table_pair_sums)(const fsyn_cuda_table* table, double offset, const double* weights,
                         fsyn_cuda_pair_sums* sums);
  /* to[S] = weights[|S|] from[S]; weights: [players + 1]. */
  int (*table_weigh)(const fsyn_cuda_table* from, fsyn_cuda_table* to, const double* weights);
  /* values[i] = table[masks[i]]. */
  int (*table_gather)(const fsyn_cuda_table* table, const uint32_t* masks, size_t count, double* values);
} fsyn_cuda_plugin;

/* Null when the plugin was built for another table. */
const fsyn_cuda_plugin* fsyn_cuda_get_plugin(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
