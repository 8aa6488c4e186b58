import { floatAttribute } from '../attributes.js';
import { unsupported } from './builder.js';
import { type RuleContext, type Rules, unary } from './rule.js';

/** Gradients of the two operands of a broadcasting operator. */
function giveBroadcast(context: RuleContext, index: number, gradient: () => string): void {
  if (!context.wants(index)) return;
  const { node, builder } = context;
  context.give(index, builder.unbroadcast(gradient(), node.output[0], node.input[index]));
}

/** Min, Max: the gradient goes to the operand that was chosen (to each of several equal ones). */
const selection = {
  inputs: 'all' as const,
  backward(context: RuleContext) {
    const { node, builder, gradients } = context;
    const y = node.output[0];
    for (const [i, x] of node.input.entries()) {
      giveBroadcast(context, i, () =>
        builder.op('Where', [builder.op('Equal', [x, y]), gradients[0] as string, builder.scalar(0, y)]),
      );
    }
  },
};

export const elementwiseRules: Rules = {
  Identity: unary((g) => g),
  Dropout: unary((g) => g),
  Cast: unary((g, x, y, { builder }) =>
    builder.dataType(x) === builder.dataType(y) ? g : builder.op('Cast', [g], { to: builder.dataType(x) }),
  ),
  Add: {
    inputs: [0, 1],
    backward(context) {
      for (const i of [0, 1]) giveBroadcast(context, i, () => context.gradients[0] as string);
    },
  },
  Sum: {
    inputs: 'all',
    backward(context) {
      for (const i of context.node.input.keys())
        giveBroadcast(context, i, () => context.gradients[0] as string);
    },
  },
  Sub: {
    inputs: [0, 1],
    backward(context) {
      const gradient = context.gradients[0] as string;
      giveBroadcast(context, 0, () => gradient);
      giveBroadcast(context, 1, () => context.builder.neg(gradient));
    },
  },
  Mul: {
    inputs: [0, 1],
    backward(context) {
      const [a, b] = context.node.input as [string, string];
      giveBroadcast(context, 0, () => context.builder.times(context.shared(), b));
      giveBroadcast(context, 1, () => context.builder.times(context.shared(), a));
    },
  },
  Div: {
    inputs: [0, 1],
    backward(context) {
      const { node, builder, gradients } = context;
      const divisor = node.input[1];
      const constant = builder.graph.constantOf(divisor);
      giveBroadcast(context, 0, () =>
        constant?.length === 1
          ? builder.scale(gradients[0] as string, 1 / (constant[0] as number), divisor)
          : builder.div(gradients[0] as string, divisor),
      );
      giveBroadcast(context, 1, () =>
        builder.neg(builder.div(builder.mul(gradients[0] as string, node.output[0] as string), divisor)),
      );
    },
  },
  Min: selection,
  Max: selection,
  Where: {
    inputs: [1, 2],
    backward(context) {
      const { node, builder, gradients } = context;
      const [condition] = node.input as [string];
      const gradient = gradients[0] as string;
      const zero = builder.scalar(0, node.output[0] as string);
      giveBroadcast(context, 1, () => builder.op('Where', [condition, gradient, zero]));
      giveBroadcast(context, 2, () => builder.op('Where', [condition, zero, gradient]));
    },
  },
  Neg: unary((g, _x, _y, { builder }) => builder.neg(g)),
  Sqrt: unary((g, x, y, { builder }) => builder.div(builder.mul(g, builder.scalar(0.5, x)), y)),
  Reciprocal: unary((g, _x, y, { builder }) => builder.neg(builder.mul(g, builder.mul(y, y)))),
  Exp: unary((g, _x, y, { builder }) => builder.mul(g, y)),
  Log: unary((g, x, _y, { builder }) => builder.div(g, x)),
  Sin: unary((g, x, _y, { builder }) => builder.mul(g, builder.op('Cos', [x]))),
  Cos: unary((g, x, _y, { builder }) => builder.neg(builder.mul(g, builder.op('Sin', [x])))),
  Abs: unary((g, x, _y, { builder }) => builder.mul(g, builder.op('Sign', [x]))),
  Clip: unary((g, x, y, { builder }) =>
    builder.op('Where', [builder.op('Equal', [x, y]), g, builder.scalar(0, y)]),
  ),
  Relu: unary((g, _x, y, { builder }) => {
    const zero = builder.scalar(0, y);
    return builder.op('Where', [builder.op('Greater', [y, zero]), g, zero]);
  }),
  LeakyRelu: unary((g, x, y, { builder, node }) => {
    const leak = builder.scale(g, floatAttribute(node, 'alpha', 0.01), y);
    return builder.op('Where', [builder.op('Greater', [x, builder.scalar(0, x)]), g, leak]);
  }),
  Pow: unary((g, x, y, { builder, node, mode }) => {
    const exponents = builder.graph.constantOf(node.input[1]);
    if (exponents?.length !== 1) throw unsupported(node, 'its exponent is not one constant');
    const exponent = exponents[0];
    // Identity rule f(x)/x; x^2 / x is written x, which is right at 0 too.
    if (mode !== 'grad') return builder.mul(g, exponent === 2 ? x : builder.div(y, x));
    const power = exponent === 2 ? x : builder.op('Pow', [x, builder.scalar(exponent - 1, x)]);
    return builder.mul(g, builder.scale(power, exponent, x));
  }),
};
