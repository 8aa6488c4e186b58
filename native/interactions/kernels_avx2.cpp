#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "interactions/kernel_set.hpp"
#include "interactions/target.hpp"

#if FSYN_HAS_TARGETS
#include <immintrin.h>

FSYN_TARGET_BEGIN("avx2,fma,bmi,bmi2,popcnt")

namespace fsyn::interactions {
namespace {

#include "interactions/kernel_templates.inc"
#include "interactions/matrix_templates.inc"
#include "interactions/pair_templates.inc"

struct Avx2F64 {
  using Element = double;
  static constexpr int kLaneBits = 2;
  static constexpr std::size_t kLanes = 4;
  static constexpr int kRadixBits = 3;
  __m256d value;
  static FSYN_INLINE Avx2F64 load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static FSYN_INLINE Avx2F64 load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  static FSYN_INLINE void store(double* p, Avx2F64 v) { _mm256_storeu_pd(p, v.value); }
  static FSYN_INLINE Avx2F64 set(double x) { return {_mm256_set1_pd(x)}; }
  static FSYN_INLINE Avx2F64 add(Avx2F64 a, Avx2F64 b) { return {_mm256_add_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx2F64 sub(Avx2F64 a, Avx2F64 b) { return {_mm256_sub_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx2F64 mul(Avx2F64 a, Avx2F64 b) { return {_mm256_mul_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx2F64 fma(Avx2F64 a, Avx2F64 b, Avx2F64 c) {
    return {_mm256_fmadd_pd(a.value, b.value, c.value)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F64 swap(Avx2F64 v) {
    if constexpr (kBit == 0) return {_mm256_permute_pd(v.value, 0b0101)};
    if constexpr (kBit == 1) return {_mm256_permute2f128_pd(v.value, v.value, 1)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F64 high(Avx2F64 lo, Avx2F64 hi) {
    return {_mm256_blend_pd(lo.value, hi.value, kBit == 0 ? 0b1010 : 0b1100)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F64 sub_high(Avx2F64 a, Avx2F64 b) {
    return high<kBit>(a, sub(a, b));
  }
  template <int kBit>
  static FSYN_INLINE Avx2F64 add_high(Avx2F64 a, Avx2F64 b) {
    return high<kBit>(a, add(a, b));
  }
  static FSYN_INLINE void prefetch(const void* /*address*/) {}
  /// out[b] keeps the lanes whose index has bit b.
  static FSYN_INLINE void lane_members(Avx2F64 v, Avx2F64* out) {
    out[0] = high<0>(set(0.0), v);
    out[1] = high<1>(set(0.0), v);
  }
  static FSYN_INLINE double total(Avx2F64 v) {
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v.value), _mm256_extractf128_pd(v.value, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
  }
  template <int kCount>
  static FSYN_INLINE void reduce(const Avx2F64* v, double* out) {
    FSYN_UNROLL
    for (int i = 0; i < kCount; ++i) out[i] = total(v[i]);
  }
};

struct Avx2F32 {
  using Element = float;
  static constexpr int kLaneBits = 3;
  static constexpr std::size_t kLanes = 8;
  static constexpr int kRadixBits = 3;
  __m256 value;
  static FSYN_INLINE Avx2F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static FSYN_INLINE void store(float* p, Avx2F32 v) { _mm256_storeu_ps(p, v.value); }
  static FSYN_INLINE Avx2F32 set(float x) { return {_mm256_set1_ps(x)}; }
  static FSYN_INLINE Avx2F32 add(Avx2F32 a, Avx2F32 b) { return {_mm256_add_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx2F32 sub(Avx2F32 a, Avx2F32 b) { return {_mm256_sub_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx2F32 mul(Avx2F32 a, Avx2F32 b) { return {_mm256_mul_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx2F32 fma(Avx2F32 a, Avx2F32 b, Avx2F32 c) {
    return {_mm256_fmadd_ps(a.value, b.value, c.value)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F32 swap(Avx2F32 v) {
    if constexpr (kBit == 0) return {_mm256_permute_ps(v.value, 0xB1)};
    if constexpr (kBit == 1) return {_mm256_permute_ps(v.value, 0x4E)};
    if constexpr (kBit == 2) return {_mm256_permute2f128_ps(v.value, v.value, 1)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F32 high(Avx2F32 lo, Avx2F32 hi) {
    constexpr int kMask = kBit == 0 ? 0xAA : kBit == 1 ? 0xCC : 0xF0;
    return {_mm256_blend_ps(lo.value, hi.value, kMask)};
  }
  template <int kBit>
  static FSYN_INLINE Avx2F32 sub_high(Avx2F32 a, Avx2F32 b) {
    return high<kBit>(a, sub(a, b));
  }
  template <int kBit>
  static FSYN_INLINE Avx2F32 add_high(Avx2F32 a, Avx2F32 b) {
    return high<kBit>(a, add(a, b));
  }
};

}  // namespace

const KernelSet* avx2_kernels() noexcept {
  static const KernelSet set{"avx2",
                             transform_kernels<Avx2F64>(),
                             transform_kernels<Avx2F32>(),
                             pair_kernel<Avx2F64, double>,
                             pair_kernel<Avx2F64, float>,
                             matrix_kernels<Avx2F64>()};
  return &set;
}

}  // namespace fsyn::interactions

FSYN_TARGET_END

#else

namespace fsyn::interactions {
const KernelSet* avx2_kernels() noexcept {
  return nullptr;
}
}  // namespace fsyn::interactions

#endif
