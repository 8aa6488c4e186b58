#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "interactions/kernel_set.hpp"
#include "interactions/target.hpp"

// Every 64-bit ARM processor has these instructions, so nothing is asked at run time.
#if defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#include <arm_neon.h>

namespace fsyn::interactions {
namespace {

#include "interactions/kernel_templates.inc"
#include "interactions/matrix_templates.inc"
#include "interactions/pair_templates.inc"

struct NeonF64 {
  using Element = double;
  static constexpr int kLaneBits = 1;
  static constexpr std::size_t kLanes = 2;
  static constexpr int kRadixBits = 3;
  float64x2_t value;
  static FSYN_INLINE NeonF64 load(const double* p) { return {vld1q_f64(p)}; }
  static FSYN_INLINE NeonF64 load(const float* p) { return {vcvt_f64_f32(vld1_f32(p))}; }
  static FSYN_INLINE void store(double* p, NeonF64 v) { vst1q_f64(p, v.value); }
  static FSYN_INLINE NeonF64 set(double x) { return {vdupq_n_f64(x)}; }
  static FSYN_INLINE NeonF64 add(NeonF64 a, NeonF64 b) { return {vaddq_f64(a.value, b.value)}; }
  static FSYN_INLINE NeonF64 sub(NeonF64 a, NeonF64 b) { return {vsubq_f64(a.value, b.value)}; }
  static FSYN_INLINE NeonF64 mul(NeonF64 a, NeonF64 b) { return {vmulq_f64(a.value, b.value)}; }
  static FSYN_INLINE NeonF64 fma(NeonF64 a, NeonF64 b, NeonF64 c) {
    return {vfmaq_f64(c.value, a.value, b.value)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF64 swap(NeonF64 v) {
    return {vextq_f64(v.value, v.value, 1)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF64 high(NeonF64 lo, NeonF64 hi) {
    return {vcopyq_laneq_f64(lo.value, 1, hi.value, 1)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF64 sub_high(NeonF64 a, NeonF64 b) {
    return high<kBit>(a, sub(a, b));
  }
  template <int kBit>
  static FSYN_INLINE NeonF64 add_high(NeonF64 a, NeonF64 b) {
    return high<kBit>(a, add(a, b));
  }
  static FSYN_INLINE void prefetch(const void* /*address*/) {}
  /// out[b] keeps the lanes whose index has bit b.
  static FSYN_INLINE void lane_members(NeonF64 v, NeonF64* out) { out[0] = high<0>(set(0.0), v); }
  template <int kCount>
  static FSYN_INLINE void reduce(const NeonF64* v, double* out) {
    FSYN_UNROLL
    for (int i = 0; i < kCount; ++i) out[i] = vaddvq_f64(v[i].value);
  }
};

struct NeonF32 {
  using Element = float;
  static constexpr int kLaneBits = 2;
  static constexpr std::size_t kLanes = 4;
  static constexpr int kRadixBits = 3;
  float32x4_t value;
  static FSYN_INLINE NeonF32 load(const float* p) { return {vld1q_f32(p)}; }
  static FSYN_INLINE void store(float* p, NeonF32 v) { vst1q_f32(p, v.value); }
  static FSYN_INLINE NeonF32 set(float x) { return {vdupq_n_f32(x)}; }
  static FSYN_INLINE NeonF32 add(NeonF32 a, NeonF32 b) { return {vaddq_f32(a.value, b.value)}; }
  static FSYN_INLINE NeonF32 sub(NeonF32 a, NeonF32 b) { return {vsubq_f32(a.value, b.value)}; }
  static FSYN_INLINE NeonF32 mul(NeonF32 a, NeonF32 b) { return {vmulq_f32(a.value, b.value)}; }
  static FSYN_INLINE NeonF32 fma(NeonF32 a, NeonF32 b, NeonF32 c) {
    return {vfmaq_f32(c.value, a.value, b.value)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF32 swap(NeonF32 v) {
    if constexpr (kBit == 0) return {vrev64q_f32(v.value)};
    if constexpr (kBit == 1) return {vextq_f32(v.value, v.value, 2)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF32 high(NeonF32 lo, NeonF32 hi) {
    constexpr uint32x4_t kHigh = kBit == 0 ? uint32x4_t{0, ~0U, 0, ~0U} : uint32x4_t{0, 0, ~0U, ~0U};
    return {vbslq_f32(kHigh, hi.value, lo.value)};
  }
  template <int kBit>
  static FSYN_INLINE NeonF32 sub_high(NeonF32 a, NeonF32 b) {
    return high<kBit>(a, sub(a, b));
  }
  template <int kBit>
  static FSYN_INLINE NeonF32 add_high(NeonF32 a, NeonF32 b) {
    return high<kBit>(a, add(a, b));
  }
};

}  // namespace

const KernelSet* neon_kernels() noexcept {
  static const KernelSet set{"neon",
                             transform_kernels<NeonF64>(),
                             transform_kernels<NeonF32>(),
                             pair_kernel<NeonF64, double>,
                             pair_kernel<NeonF64, float>,
                             matrix_kernels<NeonF64>()};
  return &set;
}

}  // namespace fsyn::interactions

#else

namespace fsyn::interactions {
const KernelSet* neon_kernels() noexcept {
  return nullptr;
}
}  // namespace fsyn::interactions

#endif
