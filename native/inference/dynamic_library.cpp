#include "inference/dynamic_library.hpp"

#include <stdexcept>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace fsyn::inference {

namespace {
void anchor() {}
}  // namespace

#ifdef _WIN32

DynamicLibrary DynamicLibrary::open(const std::filesystem::path& path) {
  // The altered search path makes the library's own directory the first place for its dependencies.
  HMODULE handle = LoadLibraryExW(path.c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (handle == nullptr)
    throw std::runtime_error("LoadLibrary failed with error " + std::to_string(GetLastError()));
  return DynamicLibrary(handle);
}

DynamicLibrary DynamicLibrary::loaded(const std::string& name) {
  return DynamicLibrary(GetModuleHandleA(name.c_str()));
}

void* DynamicLibrary::symbol(const char* name) const noexcept {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle_), name));
}

std::filesystem::path DynamicLibrary::own_directory() {
  HMODULE module = nullptr;
  if (!GetModuleHandleExA(
          GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
          reinterpret_cast<LPCSTR>(&anchor), &module)) {
    return {};
  }
  wchar_t name[MAX_PATH];
  const DWORD length = GetModuleFileNameW(module, name, MAX_PATH);
  return std::filesystem::path(std::wstring(name, length)).parent_path();
}

#else

DynamicLibrary DynamicLibrary::open(const std::filesystem::path& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    throw std::runtime_error(reason != nullptr ? reason : "dlopen failed");
  }
  return DynamicLibrary(handle);
}

DynamicLibrary DynamicLibrary::loaded(const std::string& name) {
  return DynamicLibrary(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD));
}

void* DynamicLibrary::symbol(const char* name) const noexcept {
  return dlsym(handle_, name);
}

std::filesystem::path DynamicLibrary::own_directory() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&anchor), &info) == 0 || info.dli_fname == nullptr) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}

#endif

}  // namespace fsyn::inference
