import { intAttribute, intsAttribute, stringAttribute } from '../attributes.js';
import { type BackwardBuilder, unsupported } from './builder.js';
import { type RuleContext, type Rules, unary } from './rule.js';

const reshaped = unary((g, x, _y, { builder }) => builder.reshapeLike(g, x));

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function normalised(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

function backwardConcat(context: RuleContext): void {
  const { node, builder, gradients } = context;
  const rank = builder.rank(node.output[0]);
  const axis = normalised(intAttribute(node, 'axis', 0), rank);
  const sizes = builder.op(
    'Concat',
    node.input.map((x) => builder.dimension(x, axis)),
    { axis: 0 },
  );
  const parts = builder.ops('Split', [gradients[0] as string, sizes], node.input.length, { axis });
  // Split with a single output has the plain name.
  for (const [i] of node.input.entries()) if (context.wants(i)) context.give(i, parts[i]);
}

function backwardTile(context: RuleContext): void {
  const { node, builder, gradients } = context;
  const [x, repeats] = node.input as [string, string];
  // [r0, d0, r1, d1, ...]: every repeat gets an axis of its own, which is then summed.
  const pairs = [builder.unsqueeze(repeats, [1]), builder.unsqueeze(builder.shapeOf(x), [1])];
  const interleaved = builder.op('Reshape', [builder.op('Concat', pairs, { axis: 1 }), builder.int64([-1])]);
  const split = builder.op('Reshape', [gradients[0] as string, interleaved]);
  context.give(
    0,
    builder.reduceSum(
      split,
      range(builder.rank(x)).map((i) => 2 * i),
      false,
    ),
  );
}

function backwardPad(context: RuleContext): void {
  const { node, builder, gradients } = context;
  if (stringAttribute(node, 'mode', 'constant') !== 'constant')
    throw unsupported(node, 'its mode is not constant');
  if (node.input[3]) throw unsupported(node, 'it pads selected axes');
  const [x, pads] = node.input as [string, string];
  const rank = builder.rank(x);
  const start = builder.op('Slice', [pads, builder.int64([0]), builder.int64([rank])]);
  const end = builder.add(start, builder.shapeOf(x));
  context.give(0, builder.op('Slice', [gradients[0] as string, start, end, builder.int64(range(rank))]));
}

interface SliceParts {
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

function sliceParts(context: RuleContext): SliceParts {
  const { node, builder } = context;
  const [x, starts, , axesInput, stepsInput] = node.input as [string, string, string, string?, string?];
  const rank = builder.rank(x);
  const steps = stepsInput ? builder.graph.constantOf(stepsInput) : undefined;
  if (stepsInput && !steps) throw unsupported(node, 'its steps are not constant');
  const given = axesInput ? builder.graph.constantOf(axesInput) : undefined;
  if (axesInput && !given) throw unsupported(node, 'its axes are not constant');
  const known = builder.types.get(starts);
  const declared = known?.shape?.[0];
  const count =
    given?.length ??
    steps?.length ??
    known?.probe?.[0] ??
    (typeof declared === 'number' ? declared : undefined);
  if (count === undefined) throw unsupported(node, 'the number of sliced axes is unknown');
  return {
    axes: (given ?? range(count)).map((axis) => normalised(axis, rank)),
    steps: steps ?? Array(count).fill(1),
  };
}

function backwardSlice(context: RuleContext): void {
  const parts = sliceParts(context);
  if (parts.steps.every((step) => step === 1)) backwardContiguousSlice(context, parts);
  else backwardStridedSlice(context, parts);
}

/** Picks entry i of a vector as a vector of one. */
function entry(builder: BackwardBuilder, vector: string, i: number, count: number): string {
  return count === 1 ? vector : builder.op('Slice', [vector, builder.int64([i]), builder.int64([i + 1])]);
}

function asInt64(builder: BackwardBuilder, tensor: string): string {
  return builder.once(`int64 of ${tensor}`, () => builder.op('Cast', [tensor], { to: 7 }));
}

/** Step 1: zeros around the gradient. */
function backwardContiguousSlice(context: RuleContext, { axes }: SliceParts): void {
  const { node, builder, gradients } = context;
  const [x, starts] = node.input as [string, string];
  const y = node.output[0];
  const rank = builder.rank(x);
  const before: string[] = Array(rank).fill(builder.int64([0]));
  const after: string[] = [...before];
  const constants = builder.graph.constantOf(starts);
  for (const [i, axis] of axes.entries()) {
    const size = builder.dimension(x, axis);
    const constant = constants?.[i];
    let start = builder.int64([0]);
    if (constant !== 0) {
      const raw = entry(builder, asInt64(builder, starts), i, axes.length);
      const negative = builder.op('Less', [raw, builder.int64([0])]);
      const counted = builder.op('Where', [negative, builder.add(raw, size), raw]);
      start = builder.op('Min', [builder.op('Max', [counted, builder.int64([0])]), size]);
    }
    before[axis] = start;
    after[axis] = builder.sub(builder.sub(size, start), builder.dimension(y, axis));
  }
  const pads = builder.op('Concat', [...before, ...after], { axis: 0 });
  context.give(0, builder.op('Pad', [gradients[0] as string, pads]));
}

/** Other steps: the same slice of an index range says where each entry came from. */
function backwardStridedSlice(context: RuleContext, { axes, steps }: SliceParts): void {
  const { node, builder, gradients } = context;
  const [x, starts, ends] = node.input as [string, string, string];
  const rank = builder.rank(x);
  const sizes = range(rank).map((axis) => builder.dimension(node.output[0], axis));
  let gradient = gradients[0] as string;
  for (const [i, axis] of axes.entries()) {
    const size = builder.dimension(x, axis);
    const limit = builder.op('Squeeze', [size, builder.int64([0])]);
    const all = builder.op('Range', [builder.index(0), limit, builder.index(1)]);
    const from = entry(builder, asInt64(builder, starts), i, axes.length);
    const to = entry(builder, asInt64(builder, ends), i, axes.length);
    const step = builder.int64([steps[i] as number]);
    const taken = builder.op('Slice', [all, from, to, builder.int64([0]), step]);
    const column = range(rank).map((j) => (j === axis ? -1 : 1));
    const shaped = builder.op('Reshape', [taken, builder.int64(column)]);
    const indices = builder.op('Expand', [shaped, builder.op('Concat', sizes, { axis: 0 })]);
    sizes[axis] = size;
    const zeros = builder.op('Expand', [builder.scalar(0, x), builder.op('Concat', sizes, { axis: 0 })]);
    gradient = builder.op('ScatterElements', [zeros, indices, gradient], { axis });
  }
  context.give(0, gradient);
}

export const shapeRules: Rules = {
  Reshape: reshaped,
  Flatten: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: unary((g, x, _y, { builder, node }) => {
    const rank = builder.rank(x);
    const order = intsAttribute(node, 'perm') ?? range(rank).reverse();
    const inverse = order.map((_, axis) => order.indexOf(axis));
    return builder.op('Transpose', [g], { perm: inverse });
  }),
  Expand: unary((g, x, y, { builder }) => builder.unbroadcast(g, y, x)),
  Tile: { inputs: [0], backward: backwardTile },
  Concat: { inputs: 'all', backward: backwardConcat },
  Split: {
    inputs: [0],
    backward(context) {
      const { node, builder, gradients } = context;
      const parts = node.output.map((y, i) => gradients[i] ?? builder.zerosLike(y));
      context.give(0, builder.op('Concat', parts, { axis: intAttribute(node, 'axis', 0) }));
    },
  },
  Slice: { inputs: [0], backward: backwardSlice },
  Pad: { inputs: [0], backward: backwardPad },
  CumSum: unary((g, _x, _y, { builder, node }) =>
    builder.op('CumSum', [g, node.input[1]], {
      exclusive: intAttribute(node, 'exclusive', 0),
      reverse: 1 - intAttribute(node, 'reverse', 0),
    }),
  ),
  Trilu: unary((g, _x, _y, { builder, node }) =>
    builder.op('Trilu', [g, ...node.input.slice(1)], { upper: intAttribute(node, 'upper', 1) }),
  ),
};
