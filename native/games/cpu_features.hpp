#pragma once

namespace fsyn::games {

/// Instruction sets that the kernels can use on this processor, found once at run time.
struct CpuFeatures {
  bool avx2 = false;
  bool avx512 = false;
  bool neon = false;
};

/// Returns what the processor and the operating system support. Thread-safe.
[[nodiscard]] const CpuFeatures& cpu_features() noexcept;

}  // namespace fsyn::games
