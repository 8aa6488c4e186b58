#include "interactions/kernel_set.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "games/cpu_features.hpp"

namespace fsyn::interactions {

std::span<const KernelSet* const> kernel_sets() noexcept {
  static const std::vector<const KernelSet*> sets = [] {
    std::vector<const KernelSet*> found;
    const auto& cpu = games::cpu_features();
    if (cpu.avx512 && avx512_kernels() != nullptr) found.push_back(avx512_kernels());
    if (cpu.avx2 && avx2_kernels() != nullptr) found.push_back(avx2_kernels());
    if (cpu.neon && neon_kernels() != nullptr) found.push_back(neon_kernels());
    found.push_back(portable_kernels());
    return found;
  }();
  return sets;
}

const KernelSet& kernel_set(std::string_view name) {
  if (name.empty()) {
    const char* forced = std::getenv("FSYN_KERNELS");
    if (forced == nullptr || *forced == '\0') return *kernel_sets().front();
    name = forced;
  }
  std::string known;
  for (const KernelSet* set : kernel_sets()) {
    if (set->name == name) return *set;
    known += (known.empty() ? "" : ", ") + std::string(set->name);
  }
  throw std::invalid_argument("Kernels \"" + std::string(name) +
                              "\" cannot run on this machine; available: " + known + ".");
}

}  // namespace fsyn::interactions
