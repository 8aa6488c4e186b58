#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "inference/ort_api.hpp"

namespace fsyn::inference {

/// A failed call of ONNX Runtime, before it is known what it means to the user.
class OrtError : public std::runtime_error {
 public:
  OrtError(ort::ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ort::ErrorCode code() const noexcept { return code_; }

 private:
  ort::ErrorCode code_;
};

/// The one ONNX Runtime of this process, loaded at run time and never unloaded.
class Runtime {
 public:
  /// Loads the library at `path`, or returns the runtime loaded before. Thread-safe.
  /// Throws fsyn::Error RUNTIME_NOT_FOUND when the file cannot be loaded, is too old, or when the process
  /// already holds an ONNX Runtime of another version than `version` (two versions in one process break each
  /// other).
  static Runtime& load(const std::string& path, const std::string& version);

  /// The loaded runtime; throws RUNTIME_NOT_FOUND before load() has succeeded.
  [[nodiscard]] static Runtime& instance();

  [[nodiscard]] const ort::Api& api() const noexcept { return api_; }
  [[nodiscard]] ort::Env* env() const noexcept { return env_; }
  /// The CPU allocator; it lives as long as the process.
  [[nodiscard]] ort::Allocator* allocator() const noexcept { return allocator_; }
  [[nodiscard]] const ort::MemoryInfo* cpu_memory() const noexcept { return cpu_memory_; }
  [[nodiscard]] const std::string& version() const noexcept { return version_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string build_info() const { return api_.GetBuildInfoString(); }

  /// Providers that the library was compiled with; only appending one shows whether it can be used here.
  [[nodiscard]] std::vector<std::string> compiled_providers() const;

  /// Throws OrtError when the status is a failure; releases it either way.
  void check(ort::Status* status) const;

  /// Copies a string that the runtime allocated and frees it.
  [[nodiscard]] std::string take_string(char* text) const;

 private:
  Runtime() = default;

  ort::Api api_;
  ort::Env* env_ = nullptr;
  ort::Allocator* allocator_ = nullptr;
  ort::MemoryInfo* cpu_memory_ = nullptr;
  std::string version_;
  std::string path_;
};

/// Releases a runtime object through the table's function for it.
template <auto Release>
struct OrtDeleter {
  template <typename T>
  void operator()(T* object) const noexcept {
    (Runtime::instance().api().*Release)(object);
  }
};

using SessionOptionsHandle =
    std::unique_ptr<ort::SessionOptions, OrtDeleter<&ort::Api::ReleaseSessionOptions>>;
using SessionHandle = std::unique_ptr<ort::Session, OrtDeleter<&ort::Api::ReleaseSession>>;
using RunOptionsHandle = std::unique_ptr<ort::RunOptions, OrtDeleter<&ort::Api::ReleaseRunOptions>>;
using ValueHandle = std::unique_ptr<ort::Value, OrtDeleter<&ort::Api::ReleaseValue>>;
using TypeInfoHandle = std::unique_ptr<ort::TypeInfo, OrtDeleter<&ort::Api::ReleaseTypeInfo>>;
using TensorInfoHandle =
    std::unique_ptr<ort::TensorInfo, OrtDeleter<&ort::Api::ReleaseTensorTypeAndShapeInfo>>;
using ModelMetadataHandle = std::unique_ptr<ort::ModelMetadata, OrtDeleter<&ort::Api::ReleaseModelMetadata>>;
using MemoryInfoHandle = std::unique_ptr<ort::MemoryInfo, OrtDeleter<&ort::Api::ReleaseMemoryInfo>>;
using IoBindingHandle = std::unique_ptr<ort::IoBinding, OrtDeleter<&ort::Api::ReleaseIoBinding>>;
using CudaOptionsHandle =
    std::unique_ptr<ort::CudaOptions, OrtDeleter<&ort::Api::ReleaseCUDAProviderOptions>>;

}  // namespace fsyn::inference
