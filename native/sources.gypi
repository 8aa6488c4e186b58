{
  "variables": {
    "core_sources": [
      "native/games/cpu_features.cpp"
    ],
    "binding_sources": [
      "bindings/addon.cpp"
    ],
    "cuda_sources": [
    ],
    "native_test_sources": [
    ]
  }
}
