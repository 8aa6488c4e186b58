#pragma once

/// FSYN_TARGET_BEGIN("...") compiles the functions up to FSYN_TARGET_END for an instruction set that the rest
/// of the program does not assume. Both build systems get it without per-file flags. Every standard header
/// must be included before: an inline library function compiled for the wider set could be merged into code
/// that runs everywhere.
#if (defined(__x86_64__) || defined(__i386__)) && defined(__clang__)
#define FSYN_PRAGMA(text) _Pragma(#text)
#define FSYN_TARGET_BEGIN(features) \
  FSYN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define FSYN_TARGET_END _Pragma("clang attribute pop")
#define FSYN_HAS_TARGETS 1
#elif (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define FSYN_PRAGMA(text) _Pragma(#text)
#define FSYN_TARGET_BEGIN(features) _Pragma("GCC push_options") FSYN_PRAGMA(GCC target(features))
#define FSYN_TARGET_END _Pragma("GCC pop_options")
#define FSYN_HAS_TARGETS 1
#else
#define FSYN_HAS_TARGETS 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define FSYN_INLINE inline __attribute__((always_inline))
#else
#define FSYN_INLINE inline
#endif

#if defined(__clang__)
#define FSYN_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define FSYN_UNROLL _Pragma("GCC unroll 32")
#else
#define FSYN_UNROLL
#endif

/// Keeps the compiler from moving memory accesses of unrolled steps over each other, which would need more
/// registers than there are.
#if defined(__GNUC__) || defined(__clang__)
#define FSYN_KEEP_ORDER asm volatile("" ::: "memory")
#else
#define FSYN_KEEP_ORDER
#endif
