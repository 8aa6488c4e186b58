#pragma once

#include <filesystem>
#include <string>

namespace fsyn::inference {

/// A shared library of this process. It is never unloaded: its threads and static data may be in use.
class DynamicLibrary {
 public:
  /// Loads the file; throws std::runtime_error with the system's reason.
  [[nodiscard]] static DynamicLibrary open(const std::filesystem::path& path);

  /// The library of that name when the process has it already; an empty object otherwise.
  [[nodiscard]] static DynamicLibrary loaded(const std::string& name);

  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Address of an exported symbol, null when there is none.
  [[nodiscard]] void* symbol(const char* name) const noexcept;

  /// Directory of the shared library (or program) that contains this code; empty when it cannot be found.
  [[nodiscard]] static std::filesystem::path own_directory();

 private:
  explicit DynamicLibrary(void* handle) : handle_(handle) {}
  void* handle_ = nullptr;
};

}  // namespace fsyn::inference
