#pragma once

#include <stdexcept>
#include <stop_token>
#include <string>

namespace fsyn {

/// An error with one of the stable codes of lib/errors.ts; the bindings turn it into an FsynError.
class Error : public std::runtime_error {
 public:
  /// `code` must be a string literal: it is kept by pointer.
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}

  [[nodiscard]] const char* code() const noexcept { return code_; }

 private:
  const char* code_;
};

/// Thrown by long work that stopped because its stop token asked for it; never a failure of its own.
class Cancelled : public std::runtime_error {
 public:
  Cancelled() : std::runtime_error("cancelled") {}
};

/// For loops between two steps that can be stopped themselves.
inline void throw_if_stopped(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Cancelled();
}

}  // namespace fsyn
