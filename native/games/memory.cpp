#include "games/memory.hpp"

#include <fstream>
#include <limits>
#include <string>

#include "errors.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#elif defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#endif

namespace fsyn::games {
namespace {

constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

#if defined(__linux__)
std::uint64_t meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::uint64_t kibibytes = 0;
  std::string unit;
  while (file >> key >> kibibytes >> unit) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return kUnknown;
}

std::uint64_t number_in(const char* path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return (file >> value) ? value : kUnknown;  // the text "max" means no limit
}

std::uint64_t control_group_available() {
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current");
  if (limit == kUnknown || used == kUnknown) return kUnknown;
  return limit > used ? limit - used : 0;
}
#endif

}  // namespace

std::uint64_t available_memory() noexcept {
  try {
#if defined(__linux__)
    const std::uint64_t system = meminfo_available();
    const std::uint64_t group = control_group_available();
    return system < group ? system : group;
#elif defined(_WIN32)
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof(status);
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : kUnknown;
#endif
  } catch (...) {
    return kUnknown;
  }
  return kUnknown;
}

void require_memory(std::uint64_t bytes, const char* purpose) {
  const std::uint64_t available = available_memory();
  if (available == kUnknown || bytes <= available) return;
  throw Error(ErrorCode::out_of_memory, std::string(purpose) + " needs " + std::to_string(bytes >> 20) +
                                            " MiB but only " + std::to_string(available >> 20) +
                                            " MiB are available without swapping.");
}

void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kPage = std::uintptr_t{1} << 21;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kPage - 1) & ~(kPage - 1);
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + bytes) & ~(kPage - 1);
  if (end > begin) {
    // An address is all that madvise takes; the pointer is derived from `data`.
    auto* first = static_cast<char*>(data) + (begin - reinterpret_cast<std::uintptr_t>(data));
    (void)madvise(first, end - begin, MADV_HUGEPAGE);
  }
#endif
}

}  // namespace fsyn::games
