#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fsyn::scoring {

/// What log_probability requires of targets and results, for kernels that cannot throw: INVALID_ARGUMENT for
/// a target that is not in the vocabulary, INFERENCE for NaN.
void require_targets(std::span<const int64_t> targets, size_t vocabulary);
void require_number(double score);

/// Natural log-softmax of one row of logits at one index: logits[target] - log(sum(exp(logits))).
///
/// The exponentials are float32, their sum is taken in blocks in double, always in the same order, so the
/// result has the same bytes on every run; its error is below 1e-6 absolute for rows of up to 2^20 logits.
/// Throws INFERENCE when a logit is NaN or every logit is -infinity: a score that is no number must not pass
/// for one.
[[nodiscard]] float log_probability(std::span<const float> logits, size_t target);

}  // namespace fsyn::scoring
