#pragma once

#include <cstdio>
#include <string>

#include "errors.hpp"

namespace fsyn::tests {

inline int checks = 0;
inline int failures = 0;

inline void check(bool ok, const std::string& what) {
  ++checks;
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

/// Checks that a call throws an fsyn::Error of this code.
template <class Call>
void check_code(const Call& call, ErrorCode code, const std::string& what) {
  try {
    call();
    check(false, what + ": nothing was thrown");
  } catch (const Error& error) {
    check(error.code() == code, what + ": " + name_of(error.code()) + " " + error.what());
  }
}

/// Runs the tests of a file and prints what the callers of the executables look for.
template <class Tests>
int run(const Tests& tests) {
  try {
    tests();
  } catch (const std::exception& error) {
    check(false, error.what());
  }
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace fsyn::tests
