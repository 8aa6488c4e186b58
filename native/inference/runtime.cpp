#include "inference/runtime.hpp"

#include <atomic>
#include <mutex>

#include "errors.hpp"
#include "inference/dynamic_library.hpp"

namespace fsyn::inference {

namespace {

#if defined(_WIN32)
constexpr const char* kLibraryName = "onnxruntime.dll";
#elif defined(__APPLE__)
constexpr const char* kLibraryName = "libonnxruntime.dylib";
#else
constexpr const char* kLibraryName = "libonnxruntime.so.1";
#endif

// Published once and leaked on purpose: worker threads may still be inside the library while the process
// ends.
std::atomic<Runtime*> g_runtime{nullptr};
std::mutex g_load_mutex;

Error version_conflict(const std::string& present, const std::string& wanted) {
  return {ErrorCode::runtime_not_found,
          "This process already uses ONNX Runtime " + present + " while fsyn is installed with " + wanted +
              ". Two versions in one process break each other: install one version of onnxruntime-node "
              "(npm ls onnxruntime-node shows who brings which)."};
}

DynamicLibrary find_library(const std::string& path) {
  // Somebody else (another version of onnxruntime-node) may have brought the library; one copy must serve
  // all.
  if (auto present = DynamicLibrary::loaded(kLibraryName)) return present;
  try {
    return DynamicLibrary::open(std::filesystem::path(reinterpret_cast<const char8_t*>(path.c_str())));
  } catch (const std::runtime_error& error) {
    throw Error(ErrorCode::runtime_not_found, "Cannot load ONNX Runtime from " + path + ": " + error.what());
  }
}

}  // namespace

Runtime& Runtime::load(const std::string& path, const std::string& version) {
  const std::lock_guard lock(g_load_mutex);
  if (Runtime* runtime = g_runtime.load(std::memory_order_acquire)) {
    if (runtime->version_ != version) throw version_conflict(runtime->version_, version);
    return *runtime;
  }

  const DynamicLibrary library = find_library(path);
  using GetApiBase = const ort::ApiBase* (*)();
  const auto entry = reinterpret_cast<GetApiBase>(library.symbol("OrtGetApiBase"));
  if (entry == nullptr) throw Error(ErrorCode::runtime_not_found, path + " is not an ONNX Runtime library.");
  const ort::ApiBase& base = *entry();

  std::unique_ptr<Runtime> runtime(new Runtime);
  runtime->version_ = base.GetVersionString();
  runtime->path_ = path;
  if (runtime->version_ != version) {
    throw version_conflict(runtime->version_, version);
  }
  if (!runtime->api_.load(base)) {
    throw Error(ErrorCode::runtime_not_found,
                "ONNX Runtime " + runtime->version_ + " is too old: fsyn needs 1.23 or newer.");
  }
  // Failures come back as errors; printed lines would only repeat them, without saying what to do.
  runtime->check(runtime->api_.CreateEnv(ort::kLogFatal, "fsyn", &runtime->env_));
  runtime->check(runtime->api_.DisableTelemetryEvents(runtime->env_));
  runtime->check(runtime->api_.GetAllocatorWithDefaultOptions(&runtime->allocator_));
  runtime->check(
      runtime->api_.CreateCpuMemoryInfo(ort::kArenaAllocator, ort::kDefaultMemory, &runtime->cpu_memory_));
  g_runtime.store(runtime.get(), std::memory_order_release);
  return *runtime.release();
}

Runtime& Runtime::instance() {
  Runtime* runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr) throw Error(ErrorCode::runtime_not_found, "ONNX Runtime is not loaded yet.");
  return *runtime;
}

std::vector<std::string> Runtime::compiled_providers() const {
  char** names = nullptr;
  int count = 0;
  check(api_.GetAvailableProviders(&names, &count));
  std::vector<std::string> result(names, names + count);
  check(api_.ReleaseAvailableProviders(names, count));
  return result;
}

void Runtime::check(ort::Status* status) const {
  if (status == nullptr) return;
  const auto code = static_cast<ort::ErrorCode>(api_.GetErrorCode(status));
  const std::string message = api_.GetErrorMessage(status);
  api_.ReleaseStatus(status);
  throw OrtError(code, message);
}

std::string Runtime::take_string(char* text) const {
  if (text == nullptr) return {};
  std::string copy = text;
  check(api_.AllocatorFree(allocator_, text));
  return copy;
}

}  // namespace fsyn::inference
