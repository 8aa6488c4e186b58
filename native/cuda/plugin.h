#ifndef FSYN_CUDA_PLUGIN_H
#define FSYN_CUDA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/* The CUDA plugin is a library of its own that the addon may find beside itself, so that the addon needs no CUDA.
   One exported function returns this table; every entry returns 0 or a CUDA error code and never throws.
   Pointers named device_* are device memory; streams are cudaStream_t, null for the default stream. */

#define FSYN_CUDA_ABI 1u

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fsyn_cuda_plugin {
  uint32_t abi;

  /* Number of devices that can be used; negative CUDA error code when the driver is missing or too old. */
  int (*device_count)(void);
  /* Text of an error code returned by any entry. */
  const char* (*error_text)(int code);

  int (*allocate)(void** device_memory, size_t bytes);
  int (*release)(void* device_memory);
  int (*to_device)(void* device_target, const void* source, size_t bytes, void* stream);
  int (*to_host)(void* target, const void* device_source, size_t bytes, void* stream);
  int (*synchronise)(void* stream);

  /* Twin of masking::PixelMask::apply for a batch of image states.
     device_players [elements]: image player of every element, -1 for none. device_present [states, players] bytes.
     device_image, device_baseline [elements]; device_out [states, elements]. */
  int (*mask_pixels)(const int32_t* device_players, const uint8_t* device_present, const float* device_image,
                     const float* device_baseline, float* device_out, size_t states, size_t players,
                     size_t elements, void* stream);

  /* Twin of scoring::log_probability for many rows: device_logits [rows, vocabulary], device_targets [rows],
     device_out [rows]. A row with values that are not numbers gives NaN. */
  int (*log_probabilities)(const float* device_logits, const int64_t* device_targets, float* device_out,
                           size_t rows, size_t vocabulary, void* stream);
} fsyn_cuda_plugin;

/* Null when the plugin was built for another table. */
const fsyn_cuda_plugin* fsyn_cuda_get_plugin(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
