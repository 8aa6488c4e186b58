import type { RuleContext } from './rule.js';

/** A linear map with a constant weight, forward and transposed. */
export interface LinearMap {
  readonly input: string;
  readonly weight: string;
  readonly gradient: string;
  /** The map's result without a bias, where a tensor holds it; else it is computed again. */
  readonly result: string | undefined;
  /** A number that both directions multiply with. */
  readonly alpha: number;
  forward(x: string, weight: string): string;
  backward(gradient: string, weight: string): string;
}

/** The smallest normal float32: what a sum of no contributions is divided by. */
const SMALLEST = 2 ** -126;

/**
 * The Gamma rule (Montavon et al. 2019, for inputs of either sign as in Andeol et al. 2021) as a modified
 * gradient: contributions c_ij = x_i w_ij that have the sign of the sum z_j = sum_i c_ij count 1 + gamma
 * times.
 *
 * R_i = sum_j c'_ij / (sum_i c'_ij) R_j with c' = c + gamma c+ where z_j > 0 and c + gamma c- where z_j < 0,
 * and R_j = z_j g_j. A contribution's part of the sign s of z is (c + s |c|) / 2, and |c_ij| = |x_i| |w_ij|;
 * so with m_j = sum_i |c_ij|, k = gamma / (2 + gamma) and q_j = z_j / (|z_j| + k m_j) the result R_i / x_i is
 *
 *     sum_j w_ij |q_j| g_j  +  k sign(x_i) sum_j |w_ij| q_j g_j,
 *
 * one product more forward and one more backward than the epsilon rule. An input of exactly 0 has no
 * relevance and no sign. A bias is no contribution and keeps its share, as in the epsilon rule.
 */
export function gammaGradient({ builder }: RuleContext, map: LinearMap, gamma: number): string {
  const { input: x, weight: w, gradient } = map;
  const k = (Math.sign(map.alpha) * gamma) / (2 + gamma);
  const strength = builder.once(`absolute ${w} times ${k}`, () =>
    builder.scale(builder.op('Abs', [w]), k, w),
  );
  const size = builder.once(`absolute ${x}`, () => builder.op('Abs', [x]));
  const z = map.result ?? map.forward(x, w);
  const total = builder.add(builder.op('Abs', [z]), map.forward(size, strength));
  const smallest = builder.scalar(SMALLEST, x);
  const ratio = builder.div(z, builder.op('Max', [total, smallest]));
  const plain = map.backward(builder.mul(gradient, builder.op('Abs', [ratio])), w);
  const extra = map.backward(builder.mul(gradient, ratio), strength);
  // The runtime's Sign takes element after element, and twice the time of these two.
  const sign = builder.once(`sign ${x}`, () => builder.div(x, builder.op('Max', [size, smallest])));
  return builder.add(plain, builder.mul(sign, extra));
}
