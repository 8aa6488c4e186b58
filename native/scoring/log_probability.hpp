#pragma once

#include <cstddef>
#include <span>

namespace fsyn::scoring {

/// Natural log-softmax of one row of logits at one index: logits[target] - log(sum(exp(logits))).
///
/// The exponentials are float32, their sum is taken in blocks in double, always in the same order, so the
/// result has the same bytes on every run; its error is below 1e-6 absolute for rows of up to 2^20 logits.
/// Throws INFERENCE when a logit is NaN or every logit is -infinity: a score that is no number must not pass
/// for one.
[[nodiscard]] float log_probability(std::span<const float> logits, size_t target);

}  // namespace fsyn::scoring
