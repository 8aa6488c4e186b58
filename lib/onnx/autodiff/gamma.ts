import type { RuleContext } from './rule.js';

/** Strength of the Gamma rule in linear layers with constant weights; 0 is the epsilon rule. */
export interface Gamma {
  /** Convolutions. Default: 0. */
  readonly conv?: number;
  /** Matrix products. Default: 0. */
  readonly linear?: number;
}

/** A linear map with a constant weight, forward and transposed. */
export interface LinearMap {
  readonly input: string;
  readonly weight: string;
  readonly gradient: string;
  forward(x: string, weight: string): string;
  backward(gradient: string, weight: string): string;
}

/**
 * The Gamma rule (Montavon et al. 2019, for inputs of either sign as in Andeol et al. 2021) as a modified gradient: contributions
 * c_ij = x_i w_ij that have the sign of the sum z_j = sum_i c_ij count 1 + gamma times.
 *
 * R_i = sum_j c'_ij / (sum_i c'_ij) R_j with c' = c + gamma c+ where z_j > 0 and c + gamma c- where z_j < 0. With R_j = z_j g_j the result is
 * R_i / x_i. A bias is no contribution and keeps its share, as in the epsilon rule.
 */
export function gammaGradient({ builder }: RuleContext, map: LinearMap, gamma: number): string {
  const { input: x, weight: w } = map;
  const zero = (like: string) => builder.scalar(0, like);
  const parts = (t: string): [string, string] => {
    const positive = builder.once(`positive part of ${t}`, () => builder.op('Relu', [t]));
    return [positive, builder.once(`negative part of ${t}`, () => builder.sub(t, positive))];
  };
  const [[xUp, xDown], [wUp, wDown]] = [parts(x), parts(w)];
  const agreeing = builder.add(map.forward(xUp, wUp), map.forward(xDown, wDown));
  const opposing = builder.add(map.forward(xUp, wDown), map.forward(xDown, wUp));
  const z = builder.add(agreeing, opposing);
  const rising = builder.op('Greater', [z, zero(x)]);
  const favoured = builder.op('Where', [rising, agreeing, opposing]);
  const total = builder.add(z, builder.scale(favoured, gamma, x));
  // |total| >= |z|, so only a sum of exactly 0, which has no relevance, divides by 0.
  const divisor = builder.op('Where', [builder.op('Equal', [z, zero(x)]), builder.scalar(1, x), total]);
  const share = builder.div(builder.mul(map.gradient, z), divisor);
  const up = builder.op('Where', [rising, share, zero(x)]);
  const down = builder.sub(share, up);
  const forPositive = builder.add(map.backward(up, wUp), map.backward(down, wDown));
  const forNegative = builder.add(map.backward(up, wDown), map.backward(down, wUp));
  const extra = builder.op('Where', [builder.op('Less', [x, zero(x)]), forNegative, forPositive]);
  return builder.add(map.backward(share, w), builder.scale(extra, gamma, x));
}
