#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>

namespace fsyn {

/// Why native work failed, by the stable codes of lib/errors.ts.
enum class ErrorCode {
  invalid_argument,
  runtime_not_found,
  provider_unavailable,
  model_file,
  model_contract,
  unsupported_model,
  unsupported_operator,
  budget,
  rank_deficient,
  out_of_memory,
  inference,
  disposed,
  /// Never seen by callers of the library: lib/addon/job.ts answers with the reason of the abort.
  cancelled,
};

/// The codes as JavaScript spells them, in the order of the enumeration.
inline constexpr std::array kErrorCodeNames = {
    "INVALID_ARGUMENT",
    "RUNTIME_NOT_FOUND",
    "PROVIDER_UNAVAILABLE",
    "MODEL_FILE",
    "MODEL_CONTRACT",
    "UNSUPPORTED_MODEL",
    "UNSUPPORTED_OPERATOR",
    "BUDGET",
    "RANK_DEFICIENT",
    "OUT_OF_MEMORY",
    "INFERENCE",
    "DISPOSED",
    "CANCELLED",
};
static_assert(kErrorCodeNames.size() == static_cast<std::size_t>(ErrorCode::cancelled) + 1);

[[nodiscard]] constexpr const char* name_of(ErrorCode code) noexcept {
  return kErrorCodeNames[static_cast<std::size_t>(code)];
}
static_assert(std::string_view(name_of(ErrorCode::unsupported_operator)) == "UNSUPPORTED_OPERATOR");
static_assert(std::string_view(name_of(ErrorCode::cancelled)) == "CANCELLED");

/// A failure that the bindings turn into an FsynError of the same code.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
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
