import { intAttribute, stringAttribute } from '../attributes.js';
import { DataType } from '../tensors.js';
import { unsupported } from './builder.js';
import { type RuleContext, type Rules, unary } from './rule.js';

function backwardGather(context: RuleContext): void {
  const { node, builder } = context;
  const [x, indices] = node.input as [string, string];
  const rank = builder.rank(x);
  const given = intAttribute(node, 'axis', 0);
  const axis = given < 0 ? given + rank : given;
  context.give(0, builder.rank(indices) === 0 ? selectOne(context, axis) : scatterBack(context, axis));
}

/** A scalar index: zeros around the one slice. */
function selectOne(context: RuleContext, axis: number): string {
  const { node, builder, gradients } = context;
  const [x, index] = node.input as [string, string];
  const rank = builder.rank(x);
  const size = builder.dimension(x, axis);
  const constant = builder.graph.constantOf(index)?.[0];
  let position: string;
  if (constant !== undefined && constant >= 0) position = builder.int64([constant]);
  else {
    const raw = builder.unsqueeze(builder.op('Cast', [index], { to: DataType.int64 }), [0]);
    position = builder.op('Where', [
      builder.op('Less', [raw, builder.int64([0])]),
      builder.add(raw, size),
      raw,
    ]);
  }
  const before: string[] = Array(rank).fill(builder.int64([0]));
  const after = [...before];
  before[axis] = position;
  after[axis] = builder.sub(builder.sub(size, position), builder.int64([1]));
  const pads = builder.op('Concat', [...before, ...after], { axis: 0 });
  return builder.op('Pad', [builder.unsqueeze(gradients[0] as string, [axis]), pads]);
}

/** Several indices, possibly repeated: scatter with addition. */
function scatterBack(context: RuleContext, axis: number): string {
  const { node, builder, gradients } = context;
  const [x, indices] = node.input as [string, string];
  const rank = builder.rank(x);
  const flat = builder.op('Reshape', [indices, builder.int64([-1])]);
  const shape = builder.shapeOf(x);
  const before = builder.op('Slice', [shape, builder.int64([0]), builder.int64([axis])]);
  const after = builder.op('Slice', [shape, builder.int64([axis + 1]), builder.int64([rank])]);
  const flatShape = builder.op('Concat', [before, builder.op('Shape', [flat]), after], { axis: 0 });
  const gradient = builder.op('Reshape', [gradients[0] as string, flatShape]);
  const zeros = builder.zerosLike(x);
  if (axis === 0) {
    return builder.op('ScatterND', [zeros, builder.unsqueeze(flat, [1]), gradient], { reduction: 'add' });
  }
  const column = Array.from({ length: rank }, (_, i) => (i === axis ? -1 : 1));
  const spread = builder.op('Expand', [builder.op('Reshape', [flat, builder.int64(column)]), flatShape]);
  return builder.op('ScatterElements', [zeros, spread, gradient], { axis, reduction: 'add' });
}

function scatterReduction(context: RuleContext): 'none' | 'add' {
  const reduction = stringAttribute(context.node, 'reduction', 'none');
  if (reduction !== 'none' && reduction !== 'add')
    throw unsupported(context.node, `its reduction is ${reduction}`);
  return reduction;
}

export const indexingRules: Rules = {
  Gather: { inputs: [0], backward: backwardGather },
  GatherElements: unary((g, x, _y, { builder, node }) =>
    builder.op('ScatterElements', [builder.zerosLike(x), node.input[1], g], {
      axis: intAttribute(node, 'axis', 0),
      reduction: 'add',
    }),
  ),
  GatherND: unary((g, x, _y, { builder, node }) => {
    if (intAttribute(node, 'batch_dims', 0) !== 0) throw unsupported(node, 'it has batch dimensions');
    return builder.op('ScatterND', [builder.zerosLike(x), node.input[1], g], { reduction: 'add' });
  }),
  ScatterND: {
    inputs: [0, 2],
    backward(context) {
      const { node, builder, gradients } = context;
      const [, indices, updates] = node.input as [string, string, string];
      const gradient = gradients[0] as string;
      const adds = scatterReduction(context) === 'add';
      if (context.wants(0)) {
        context.give(
          0,
          adds ? gradient : builder.op('ScatterND', [gradient, indices, builder.zerosLike(updates)]),
        );
      }
      if (context.wants(2)) context.give(2, builder.op('GatherND', [gradient, indices]));
    },
  },
  ScatterElements: {
    inputs: [0, 2],
    backward(context) {
      const { node, builder, gradients } = context;
      const [, indices, updates] = node.input as [string, string, string];
      const gradient = gradients[0] as string;
      const axis = intAttribute(node, 'axis', 0);
      const adds = scatterReduction(context) === 'add';
      if (context.wants(0)) {
        const cleared = () =>
          builder.op('ScatterElements', [gradient, indices, builder.zerosLike(updates)], { axis });
        context.give(0, adds ? gradient : cleared());
      }
      if (context.wants(2)) context.give(2, builder.op('GatherElements', [gradient, indices], { axis }));
    },
  },
};
