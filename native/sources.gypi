{
  "variables": {
    "core_sources": [
      "native/games/cpu_features.cpp",
      "native/inference/dynamic_library.cpp",
      "native/inference/runtime.cpp",
      "native/inference/session.cpp",
      "native/inference/tensor.cpp"
    ],
    "binding_sources": [
      "bindings/addon.cpp",
      "bindings/inference.cpp",
      "bindings/job.cpp"
    ],
    "cuda_sources": [],
    "native_test_sources": []
  }
}
