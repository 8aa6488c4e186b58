import { intAttribute } from '../attributes.js';
import type { BackwardBuilder } from './builder.js';
import { type RuleContext, type Rules, unary } from './rule.js';

/** The gradient of a reduction over `axes`, from the gradient and the result with the reduced axes kept. */
function reduction(
  expression: (context: RuleContext, g: string, y: string, axes: readonly number[]) => string,
) {
  return unary((g, x, y, context) => {
    const { builder, node } = context;
    const rank = builder.rank(x);
    const given = builder.axes(node, rank);
    if (!given && intAttribute(node, 'noop_with_empty_axes', 0) === 1) return g;
    const axes = given ?? Array.from({ length: rank }, (_, i) => i);
    const kept = (t: string) =>
      intAttribute(node, 'keepdims', 1) === 1 ? t : builder.unsqueeze(t, [...axes].sort(ascending));
    return expression(context, kept(g), kept(y), axes);
  });
}

function ascending(a: number, b: number): number {
  return a - b;
}

/** A gradient divided by the number of elements that each mean was taken over. */
export function divideByCount(
  builder: BackwardBuilder,
  g: string,
  x: string,
  axes: readonly number[],
  dataType = builder.dataType(x),
): string {
  const sizes = axes.map((axis) => builder.type(x).shape[axis]);
  if (sizes.every((size) => typeof size === 'number')) {
    const count = (sizes as number[]).reduce((a, b) => a * b, 1);
    return count === 1 ? g : builder.mul(g, builder.scalarOf(1 / count, dataType));
  }
  const counted = builder.op('Gather', [builder.shapeOf(x), builder.int64(axes)]);
  const count = builder.op('ReduceProd', [counted], { keepdims: 0 });
  return builder.div(g, builder.op('Cast', [count], { to: dataType }));
}

function probabilitySum(context: RuleContext, g: string): string {
  return context.builder.reduceSum(g, [intAttribute(context.node, 'axis', -1)]);
}

/**
 * The sum of gradient times probability in every row of an attention map P that only O = P V reads: that of
 * the gradient of O times O (as in FlashAttention, arXiv 2205.14135, eq. 4), which has fewer elements.
 */
function attentionSum({ builder, node, onlyProduct }: RuleContext, y: string): string | undefined {
  const axis = intAttribute(node, 'axis', -1);
  const product = axis === -1 || axis === builder.rank(y) - 1 ? onlyProduct() : undefined;
  if (!product || !builder.sameBatch(y, product.result)) return undefined;
  const { of, factor } = builder.unscaled(product.gradient);
  const sum = builder.reduceSum(builder.mul(of, product.result), [-1]);
  return builder.scale(sum, factor, y);
}

export const reductionRules: Rules = {
  ReduceSum: reduction(({ builder, node }, g) => builder.op('Expand', [g, builder.shapeOf(node.input[0])])),
  ReduceMean: reduction(({ builder, node }, g, _y, axes) => {
    const x = node.input[0];
    return builder.op('Expand', [divideByCount(builder, g, x, axes), builder.shapeOf(x)]);
  }),
  ReduceL2: reduction(({ builder, node }, g, y) => builder.mul(node.input[0], builder.div(g, y))),
  ReduceMax: reduction(({ builder, node }, g, y, axes) => {
    // Equal maxima share the gradient.
    const x = node.input[0];
    const chosen = builder.op('Cast', [builder.op('Equal', [x, y])], { to: builder.dataType(x) });
    return builder.mul(builder.div(chosen, builder.reduceSum(chosen, axes)), g);
  }),
  Softmax: unary((g, _x, y, context) => {
    const { builder } = context;
    const product = attentionSum(context, y);
    if (product !== undefined) return builder.mul(y, builder.sub(g, product));
    const weighted = builder.mul(g, y);
    return builder.sub(weighted, builder.mul(y, probabilitySum(context, weighted)));
  }),
  LogSoftmax: unary((g, _x, y, context) => {
    const { builder } = context;
    return builder.sub(g, builder.mul(builder.op('Exp', [y]), probabilitySum(context, g)));
  }),
};
