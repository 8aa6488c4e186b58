#include "cuda/plugin_library.hpp"

#include <cstdlib>
#include <string>
#include <system_error>

#include "errors.hpp"
#include "inference/dynamic_library.hpp"

namespace fsyn::cuda {
namespace {

#if defined(_WIN32)
constexpr const char* kFileName = "fsyn_cuda.dll";
#elif defined(__APPLE__)
constexpr const char* kFileName = "libfsyn_cuda.dylib";
#else
constexpr const char* kFileName = "libfsyn_cuda.so";
#endif

Error unavailable(const std::filesystem::path& path, const std::string& problem) {
  return {ErrorCode::provider_unavailable,
          "CUDA cannot be used: the plugin " + path.string() + " " + problem};
}

inference::DynamicLibrary open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw unavailable(
        path,
        "is missing. Build it with `npm run build:native` where nvcc is found, or name it in the "
        "environment variable FSYN_CUDA_PLUGIN.");
  }
  try {
    return inference::DynamicLibrary::open(path);
  } catch (const std::exception& reason) {
    throw unavailable(path, std::string("cannot be loaded: ") + reason.what());
  }
}

}  // namespace

std::filesystem::path plugin_path() {
  const char* const named = std::getenv("FSYN_CUDA_PLUGIN");
  if (named != nullptr && *named != '\0') return named;
  return inference::DynamicLibrary::own_directory() / kFileName;
}

const fsyn_cuda_plugin& load_plugin_table(const std::filesystem::path& path) {
  using Get = const fsyn_cuda_plugin* (*)(uint32_t);
  const auto get = reinterpret_cast<Get>(open(path).symbol("fsyn_cuda_get_plugin"));
  const fsyn_cuda_plugin* const plugin = get != nullptr ? get(FSYN_CUDA_ABI) : nullptr;
  if (plugin == nullptr || plugin->abi != FSYN_CUDA_ABI) {
    throw unavailable(path, "is of another version; build it again with `npm run build:native`.");
  }
  return *plugin;
}

const fsyn_cuda_plugin& load_plugin(const std::filesystem::path& path) {
  const fsyn_cuda_plugin& plugin = load_plugin_table(path);
  if (plugin.device_count() < 1) {
    const std::string reason = plugin.last_error();
    throw unavailable(path, "finds no device" + (reason.empty() ? "." : ": " + reason + "."));
  }
  return plugin;
}

}  // namespace fsyn::cuda
