#pragma once

#include <filesystem>

#include "cuda/plugin.h"

namespace fsyn::cuda {

/// The environment variable FSYN_CUDA_PLUGIN, or the library of its usual name beside this program's own.
[[nodiscard]] std::filesystem::path plugin_path();

/// Loads the plugin and asks for its table. Throws Error PROVIDER_UNAVAILABLE, which says what is missing:
/// the library, its version, or a device. The library stays loaded for the rest of the process.
[[nodiscard]] const fsyn_cuda_plugin& load_plugin(const std::filesystem::path& path);

/// The same without asking for a device.
[[nodiscard]] const fsyn_cuda_plugin& load_plugin_table(const std::filesystem::path& path);

}  // namespace fsyn::cuda
