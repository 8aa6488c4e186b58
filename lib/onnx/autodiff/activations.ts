import { floatAttribute, stringAttribute } from '../attributes.js';
import type { BackwardBuilder } from './builder.js';
import { type RuleContext, type Rules, unary } from './rule.js';

/** f(x) = x * gate(x): derivative gate + x * gate', or gate alone under the LRP identity rule f(x)/x. */
function gated(gate: (x: string, context: RuleContext) => { gate: string; slope: () => string }) {
  return unary((g, x, _y, context) => {
    const { builder, mode } = context;
    const { gate: value, slope } = gate(x, context);
    if (mode !== 'grad') return builder.mul(g, value);
    return builder.mul(g, builder.add(value, builder.mul(x, slope())));
  });
}

/**
 * A saturating function outside a gate: f'(x), or f(x)/x under the identity rule (all of them vanish at 0 but
 * Sigmoid).
 */
function activation(derivative: (x: string, y: string, builder: BackwardBuilder) => string) {
  return unary((g, x, y, { builder, mode }) => {
    if (mode === 'grad') return builder.mul(g, derivative(x, y, builder));
    return builder.mul(g, builder.div(y, builder.add(x, builder.scalar(1e-10, x))));
  });
}

/** Normal distribution function and density at x. */
function normal(x: string, builder: BackwardBuilder): { gate: string; slope: () => string } {
  const erf = builder.op('Erf', [builder.scale(x, Math.SQRT1_2, x)]);
  return {
    gate: builder.scale(builder.add(erf, builder.scalar(1, x)), 0.5, x),
    slope: () =>
      builder.scale(
        builder.op('Exp', [builder.scale(builder.mul(x, x), -0.5, x)]),
        1 / Math.sqrt(2 * Math.PI),
        x,
      ),
  };
}

/** (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3), and its slope. */
function tanhGate(x: string, builder: BackwardBuilder): { gate: string; slope: () => string } {
  const c = Math.sqrt(2 / Math.PI);
  const square = builder.mul(x, x);
  const inner = builder.add(builder.scale(square, c * 0.044715, x), builder.scalar(c, x));
  const tanh = builder.op('Tanh', [builder.mul(x, inner)]);
  const one = builder.scalar(1, x);
  return {
    gate: builder.scale(builder.add(tanh, one), 0.5, x),
    slope: () => {
      const innerSlope = builder.add(builder.scale(square, 3 * c * 0.044715, x), builder.scalar(c, x));
      const sech = builder.sub(one, builder.mul(tanh, tanh));
      return builder.scale(builder.mul(sech, innerSlope), 0.5, x);
    },
  };
}

function sigmoidGate(
  x: string,
  alpha: number,
  builder: BackwardBuilder,
): { gate: string; slope: () => string } {
  const gate = builder.op('Sigmoid', [builder.scale(x, alpha, x)]);
  return {
    gate,
    slope: () => builder.scale(builder.mul(gate, builder.sub(builder.scalar(1, x), gate)), alpha, x),
  };
}

export const activationRules: Rules = {
  Sigmoid: activation((x, y, builder) => builder.mul(y, builder.sub(builder.scalar(1, x), y))),
  Tanh: activation((x, y, builder) => builder.sub(builder.scalar(1, x), builder.mul(y, y))),
  Erf: activation((x, _y, builder) =>
    builder.scale(builder.op('Exp', [builder.neg(builder.mul(x, x))]), 2 / Math.sqrt(Math.PI), x),
  ),
  Softplus: activation((x, _y, builder) => builder.op('Sigmoid', [x])),
  Gelu: gated((x, { builder, node }) =>
    stringAttribute(node, 'approximate', 'none') === 'tanh' ? tanhGate(x, builder) : normal(x, builder),
  ),
  FastGelu: gated((x, { builder }) => tanhGate(x, builder)),
  QuickGelu: gated((x, { builder, node }) => sigmoidGate(x, floatAttribute(node, 'alpha', 1.702), builder)),
  Swish: gated((x, { builder, node }) => sigmoidGate(x, floatAttribute(node, 'alpha', 1), builder)),
};
