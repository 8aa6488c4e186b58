{
  "variables": {
    "core_sources": [
      "native/cuda/device_indices.cpp",
      "native/cuda/interactions_client.cpp",
      "native/cuda/plugin_library.cpp",
      "native/games/cpu_features.cpp",
      "native/games/memory.cpp",
      "native/imaging/blur.cpp",
      "native/imaging/resample.cpp",
      "native/inference/coalition_executor.cpp",
      "native/inference/coalition_program.cpp",
      "native/inference/coalition_worker.cpp",
      "native/inference/dynamic_library.cpp",
      "native/inference/feeds.cpp",
      "native/inference/image_encoder.cpp",
      "native/inference/prefix_cache.cpp",
      "native/inference/row_table.cpp",
      "native/inference/runtime.cpp",
      "native/inference/sequence_feeds.cpp",
      "native/inference/session.cpp",
      "native/inference/tensor.cpp",
      "native/interactions/coalitions.cpp",
      "native/interactions/kernel_set.cpp",
      "native/interactions/kernels_avx2.cpp",
      "native/interactions/kernels_avx512.cpp",
      "native/interactions/kernels_portable.cpp",
      "native/interactions/least_squares.cpp",
      "native/interactions/pair_index.cpp",
      "native/interactions/pair_sums.cpp",
      "native/interactions/size_index.cpp",
      "native/interactions/transform.cpp",
      "native/masking/pixel_mask.cpp",
      "native/scoring/log_probability.cpp"
    ],
    "binding_sources": [
      "bindings/addon.cpp",
      "bindings/coalitions.cpp",
      "bindings/imaging.cpp",
      "bindings/inference.cpp",
      "bindings/interactions.cpp",
      "bindings/job.cpp"
    ],
    "cuda_sources": [
      "native/cuda/log_probabilities.cu",
      "native/cuda/mask_pixels.cu",
      "native/cuda/orders.cu",
      "native/cuda/pairs.cu",
      "native/cuda/plugin.cu",
      "native/cuda/table.cu",
      "native/cuda/transforms.cu"
    ],
    "native_test_sources": [
      "tests/native/cuda_interactions_test.cpp",
      "tests/native/coalition_test.cpp",
      "tests/native/cuda_plugin_test.cpp",
      "tests/native/imaging_test.cpp",
      "tests/native/inference_test.cpp",
      "tests/native/interactions_test.cpp",
      "tests/native/ort_api_test.cpp",
      "tests/native/scoring_test.cpp"
    ],
    "native_bench_sources": [
      "bench/micro/interactions_bench.cpp"
    ]
  }
}
