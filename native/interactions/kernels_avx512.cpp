#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>

#include "interactions/kernel_set.hpp"
#include "interactions/target.hpp"

#if FSYN_HAS_TARGETS && !defined(FSYN_NO_AVX512)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 reports the header's own deliberately undefined merge operands.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

FSYN_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,bmi,bmi2,popcnt")

namespace fsyn::interactions {
namespace {

#include "interactions/kernel_templates.inc"
#include "interactions/matrix_templates.inc"
#include "interactions/pair_templates.inc"

struct Avx512F64 {
  using Element = double;
  static constexpr int kLaneBits = 3;
  static constexpr std::size_t kLanes = 8;
  static constexpr int kRadixBits = 4;
  __m512d value;
  static FSYN_INLINE Avx512F64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static FSYN_INLINE Avx512F64 load(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
  static FSYN_INLINE void store(double* p, Avx512F64 v) { _mm512_storeu_pd(p, v.value); }
  static FSYN_INLINE Avx512F64 set(double x) { return {_mm512_set1_pd(x)}; }
  static FSYN_INLINE Avx512F64 add(Avx512F64 a, Avx512F64 b) { return {_mm512_add_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx512F64 sub(Avx512F64 a, Avx512F64 b) { return {_mm512_sub_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx512F64 mul(Avx512F64 a, Avx512F64 b) { return {_mm512_mul_pd(a.value, b.value)}; }
  static FSYN_INLINE Avx512F64 fma(Avx512F64 a, Avx512F64 b, Avx512F64 c) {
    return {_mm512_fmadd_pd(a.value, b.value, c.value)};
  }
  template <int kBit>
  static FSYN_INLINE Avx512F64 swap(Avx512F64 v) {
    if constexpr (kBit == 0) return {_mm512_permute_pd(v.value, 0x55)};
    if constexpr (kBit == 1) return {_mm512_permutex_pd(v.value, 0x4E)};
    if constexpr (kBit == 2) return {_mm512_shuffle_f64x2(v.value, v.value, 0x4E)};
  }
  template <int kBit>
  static constexpr __mmask8 kHigh = kBit == 0   ? 0xAA
                                    : kBit == 1 ? 0xCC
                                                : 0xF0;
  template <int kBit>
  static FSYN_INLINE Avx512F64 high(Avx512F64 lo, Avx512F64 hi) {
    return {_mm512_mask_blend_pd(kHigh<kBit>, lo.value, hi.value)};
  }
  // Exact as a subtraction, but for the multiplier's ports: the adder is what limits the lane steps.
  template <int kBit>
  static FSYN_INLINE Avx512F64 sub_high(Avx512F64 a, Avx512F64 b) {
    return {_mm512_mask3_fnmadd_pd(b.value, _mm512_set1_pd(1.0), a.value, kHigh<kBit>)};
  }
  template <int kBit>
  static FSYN_INLINE Avx512F64 add_high(Avx512F64 a, Avx512F64 b) {
    return {_mm512_mask3_fmadd_pd(b.value, _mm512_set1_pd(1.0), a.value, kHigh<kBit>)};
  }
  static FSYN_INLINE void prefetch(const void* address) {
    _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T1);
  }
  /// out[b] keeps the lanes whose index has bit b.
  static FSYN_INLINE void lane_members(Avx512F64 v, Avx512F64* out) {
    out[0] = {_mm512_maskz_mov_pd(0xAA, v.value)};
    out[1] = {_mm512_maskz_mov_pd(0xCC, v.value)};
    out[2] = {_mm512_maskz_mov_pd(0xF0, v.value)};
  }
  /// The sums of eight vectors as the lanes of one: three rounds of "keep half of each, add".
  static FSYN_INLINE __m512d totals8(const Avx512F64* v) {
    __m512d pair[4];
    FSYN_UNROLL
    for (std::size_t i = 0; i < 4; ++i) {
      pair[i] = _mm512_add_pd(_mm512_unpacklo_pd(v[2 * i].value, v[2 * i + 1].value),
                              _mm512_unpackhi_pd(v[2 * i].value, v[2 * i + 1].value));
    }
    // pair[i] holds partial sums of vectors 2i, 2i+1 in even and odd lanes, once per 128-bit quarter.
    __m512d quad[2];
    FSYN_UNROLL
    for (std::size_t i = 0; i < 2; ++i) {
      quad[i] = _mm512_add_pd(_mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0x88),
                              _mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0xDD));
    }
    return _mm512_add_pd(_mm512_shuffle_f64x2(quad[0], quad[1], 0x88),
                         _mm512_shuffle_f64x2(quad[0], quad[1], 0xDD));
  }
  template <int kCount>
  static FSYN_INLINE void reduce(const Avx512F64* v, double* out) {
    static_assert(kCount <= 16);
    Avx512F64 padded[16];
    FSYN_UNROLL
    for (int i = 0; i < 16; ++i) padded[i] = i < kCount ? v[i] : set(0.0);
    constexpr int kFirst = kCount < 8 ? kCount : 8;
    _mm512_mask_storeu_pd(out, static_cast<__mmask8>((1U << kFirst) - 1U), totals8(padded));
    if constexpr (kCount > 8) {
      _mm512_mask_storeu_pd(out + 8, static_cast<__mmask8>((1U << (kCount - 8)) - 1U), totals8(padded + 8));
    }
  }
};

struct Avx512F32 {
  using Element = float;
  static constexpr int kLaneBits = 4;
  static constexpr std::size_t kLanes = 16;
  static constexpr int kRadixBits = 4;
  __m512 value;
  static FSYN_INLINE Avx512F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static FSYN_INLINE void store(float* p, Avx512F32 v) { _mm512_storeu_ps(p, v.value); }
  static FSYN_INLINE Avx512F32 set(float x) { return {_mm512_set1_ps(x)}; }
  static FSYN_INLINE Avx512F32 add(Avx512F32 a, Avx512F32 b) { return {_mm512_add_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx512F32 sub(Avx512F32 a, Avx512F32 b) { return {_mm512_sub_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx512F32 mul(Avx512F32 a, Avx512F32 b) { return {_mm512_mul_ps(a.value, b.value)}; }
  static FSYN_INLINE Avx512F32 fma(Avx512F32 a, Avx512F32 b, Avx512F32 c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
  }
  template <int kBit>
  static FSYN_INLINE Avx512F32 swap(Avx512F32 v) {
    if constexpr (kBit == 0) return {_mm512_permute_ps(v.value, 0xB1)};
    if constexpr (kBit == 1) return {_mm512_permute_ps(v.value, 0x4E)};
    if constexpr (kBit == 2) return {_mm512_shuffle_f32x4(v.value, v.value, 0xB1)};
    if constexpr (kBit == 3) return {_mm512_shuffle_f32x4(v.value, v.value, 0x4E)};
  }
  template <int kBit>
  static constexpr __mmask16 kHigh = kBit == 0   ? 0xAAAA
                                     : kBit == 1 ? 0xCCCC
                                     : kBit == 2 ? 0xF0F0
                                                 : 0xFF00;
  template <int kBit>
  static FSYN_INLINE Avx512F32 high(Avx512F32 lo, Avx512F32 hi) {
    return {_mm512_mask_blend_ps(kHigh<kBit>, lo.value, hi.value)};
  }
  // Exact as a subtraction, but for the multiplier's ports: the adder is what limits the lane steps.
  template <int kBit>
  static FSYN_INLINE Avx512F32 sub_high(Avx512F32 a, Avx512F32 b) {
    return {_mm512_mask3_fnmadd_ps(b.value, _mm512_set1_ps(1.0F), a.value, kHigh<kBit>)};
  }
  template <int kBit>
  static FSYN_INLINE Avx512F32 add_high(Avx512F32 a, Avx512F32 b) {
    return {_mm512_mask3_fmadd_ps(b.value, _mm512_set1_ps(1.0F), a.value, kHigh<kBit>)};
  }
};

}  // namespace

const KernelSet* avx512_kernels() noexcept {
  static const KernelSet set{"avx512",
                             transform_kernels<Avx512F64>(),
                             transform_kernels<Avx512F32>(),
                             pair_kernel<Avx512F64, double>,
                             pair_kernel<Avx512F64, float>,
                             matrix_kernels<Avx512F64>()};
  return &set;
}

}  // namespace fsyn::interactions

FSYN_TARGET_END

#else

namespace fsyn::interactions {
const KernelSet* avx512_kernels() noexcept {
  return nullptr;
}
}  // namespace fsyn::interactions

#endif
