#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "interactions/kernel_set.hpp"
#include "interactions/target.hpp"

namespace fsyn::interactions {
namespace {

#include "interactions/kernel_templates.inc"
#include "interactions/matrix_templates.inc"
#include "interactions/pair_templates.inc"

/// One double at a time; the compiler vectorises what it can for the architecture that it was told to build
/// for.
struct PortablePairs : Scalar<double> {
  PortablePairs() = default;
  FSYN_INLINE PortablePairs(Scalar<double> s) : Scalar<double>(s) {}
  static FSYN_INLINE PortablePairs load(const double* p) { return Scalar<double>{*p}; }
  static FSYN_INLINE PortablePairs load(const float* p) { return Scalar<double>{static_cast<double>(*p)}; }
  static FSYN_INLINE void prefetch(const void* /*address*/) {}
  static FSYN_INLINE void lane_members(PortablePairs /*v*/, PortablePairs* /*out*/) {}
  template <int kCount>
  static FSYN_INLINE void reduce(const PortablePairs* v, double* out) {
    for (int i = 0; i < kCount; ++i) out[i] = v[i].value;
  }
};

}  // namespace

const KernelSet* portable_kernels() noexcept {
  static const KernelSet set{"portable",
                             transform_kernels<Scalar<double>>(),
                             transform_kernels<Scalar<float>>(),
                             pair_kernel<PortablePairs, double>,
                             pair_kernel<PortablePairs, float>,
                             matrix_kernels<PortablePairs>()};
  return &set;
}

}  // namespace fsyn::interactions
