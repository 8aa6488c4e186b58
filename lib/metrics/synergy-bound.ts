/**
 * The largest difference of raw F_syn that two orders of one sample can have, where values lie in [0, width].
 *
 * At a step strictly between 0 and 1 a dividend is v(I,T) - v(I,none) - v(none,T) + z with z the same for
 * both: three free values, so two dividends differ by at most 3 widths. At the ends they are equal. The
 * trapezoidal rule weighs the inner steps, and the mean of two areas is bounded as each of them is.
 */
export function synergyBound(steps: readonly number[], width = 1): number {
  let inner = 0;
  for (let i = 1; i < steps.length - 1; i++) inner += (steps[i + 1] - steps[i - 1]) / 2;
  return 3 * width * inner;
}
