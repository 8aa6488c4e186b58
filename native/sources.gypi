{
  "variables": {
    "core_sources": [
      "native/games/cpu_features.cpp",
      "native/games/memory.cpp",
      "native/inference/dynamic_library.cpp",
      "native/inference/runtime.cpp",
      "native/inference/session.cpp",
      "native/inference/tensor.cpp",
      "native/interactions/kernel_set.cpp",
      "native/interactions/kernels_avx2.cpp",
      "native/interactions/kernels_avx512.cpp",
      "native/interactions/kernels_portable.cpp",
      "native/interactions/pair_index.cpp",
      "native/interactions/size_index.cpp",
      "native/interactions/transform.cpp"
    ],
    "binding_sources": [
      "bindings/addon.cpp",
      "bindings/inference.cpp",
      "bindings/interactions.cpp",
      "bindings/job.cpp"
    ],
    "cuda_sources": [],
    "native_test_sources": [
      "tests/native/interactions_test.cpp"
    ]
  }
}
