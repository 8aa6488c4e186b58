{
  "includes": ["native/sources.gypi"],
  "targets": [
    {
      "target_name": "fsyn",
      "sources": ["<@(core_sources)", "<@(binding_sources)"],
      "include_dirs": ["native", "bindings"],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
      "defines": ["NAPI_VERSION=8", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-O3"],
      "cflags_cc": ["-std=c++20", "-fvisibility=hidden", "-Wall", "-Wextra"],
      "cflags_cc!": ["-std=gnu++17", "-fno-rtti"],
      "conditions": [
        ["OS=='linux'", {"libraries": ["-ldl", "-lpthread"], "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,-z,nodelete"]}],
        ["OS=='mac'", {"xcode_settings": {"CLANG_CXX_LANGUAGE_STANDARD": "c++20", "MACOSX_DEPLOYMENT_TARGET": "11.0", "GCC_ENABLE_CPP_RTTI": "YES"}}],
        ["OS=='win'", {"msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/std:c++20"]}}}]
      ]
    }
  ]
}
