#pragma once

#include <mutex>

namespace fsyn::inference {

/// The right to use a device that the runtime shares among sessions without a lock of its own. WebGPU records
/// the commands of all sessions with one encoder: two runs at a time fail with "Command encoding already
/// finished", or worse. Taken around loading, running and releasing of what such a provider owns.
[[nodiscard]] inline std::unique_lock<std::recursive_mutex> device_turn() {
  static std::recursive_mutex device;
  return std::unique_lock(device);
}

}  // namespace fsyn::inference
