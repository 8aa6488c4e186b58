import { intAttribute } from '../attributes.js';
import { DataType } from '../tensors.js';
import { divideByCount } from './reductions.js';
import type { Rule, RuleContext, Rules } from './rule.js';

/**
 * LayerNormalization and its RMS form, from the operator's own mean and inverse deviation.
 *
 * Those two are float32 whatever the element type, so the arithmetic is too. In the LRP modes the deviation
 * is a constant (arXiv 2402.05602, proposition 3.4), which removes the term along the normalised input; the
 * mean is still subtracted.
 */
function backwardNorm(context: RuleContext, centred: boolean): void {
  const { node, builder, gradients, mode } = context;
  const [input, weight] = node.input as [string, string];
  const half = builder.dataType(input) !== DataType.float32 && builder.dataType(input) !== DataType.float64;
  const up = (t: string) =>
    half ? builder.once(`float32 of ${t}`, () => builder.op('Cast', [t], { to: DataType.float32 })) : t;
  const { mean, inverse } = statistics(context, centred);
  const rank = builder.rank(input);
  const first = intAttribute(node, 'axis', -1);
  const start = first < 0 ? first + rank : first;
  const axes = Array.from({ length: rank - start }, (_, i) => start + i);
  const dataType = half ? DataType.float32 : builder.dataType(input);
  const average = (t: string) => divideByCount(builder, builder.reduceSum(t, axes), input, axes, dataType);
  const scaled = builder.mul(up(gradients[0] as string), up(weight));
  let gradient = centred ? builder.sub(scaled, average(scaled)) : scaled;
  if (mode === 'grad') {
    const shifted = centred ? builder.sub(up(input), mean as string) : up(input);
    const unit = builder.mul(shifted, inverse);
    gradient = builder.sub(gradient, builder.mul(unit, average(builder.mul(scaled, unit))));
  }
  gradient = builder.mul(gradient, inverse);
  context.give(0, half ? builder.op('Cast', [gradient], { to: builder.dataType(input) }) : gradient);
}

/** Names of the mean and inverse-deviation outputs, added to the node when it did not have them. */
function statistics(
  { node, builder }: RuleContext,
  centred: boolean,
): { mean: string | undefined; inverse: string } {
  const position = centred ? 2 : 1;
  while (node.output.length <= position) node.output.push('');
  for (let i = 1; i <= position; i++) {
    if (!node.output[i]) node.output[i] = builder.graph.uniqueName(`${node.output[0]}/statistic${i}`);
  }
  return { mean: centred ? node.output[1] : undefined, inverse: node.output[position] };
}

function normalisation(centred: boolean): Rule {
  return { inputs: [0], backward: (context) => backwardNorm(context, centred) };
}

export const normalisationRules: Rules = {
  LayerNormalization: normalisation(true),
  SimplifiedLayerNormalization: normalisation(false),
};
