#pragma once

#include <filesystem>
#include <memory>

#include "inference/device_kernels.hpp"

namespace fsyn::cuda {

/// The plugin's masking and scoring kernels. Throws PROVIDER_UNAVAILABLE where the plugin, its version or a
/// device is missing.
[[nodiscard]] std::shared_ptr<const inference::DeviceKernels> coalition_kernels(
    const std::filesystem::path& plugin);

}  // namespace fsyn::cuda
