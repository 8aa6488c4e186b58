import { floatAttribute, intAttribute } from '../attributes.js';
import { unsupported } from '../autodiff/builder.js';
import type { OnnxModel } from '../model.js';
import type { NodeProto } from '../protobuf.js';
import { operatorName } from '../queries.js';
import type { TensorTypes } from '../types.js';
import { attention23, multiHeadAttention, packedAttention, rotate } from './attention.js';
import { DecompositionBuilder } from './builder.js';
import { groupQueryAttention } from './group-query.js';

type Decomposition = (node: NodeProto, builder: DecompositionBuilder, types: TensorTypes | undefined) => void;

/** x + skip (+ bias), normalised; the sum is also output 3. */
function skipNormalisation(centred: boolean): Decomposition {
  return (node, builder) => {
    const [x, skip, weight] = node.input as [string, string, string];
    const shift = centred ? node.input[3] : undefined;
    const bias = centred ? node.input[4] : node.input[3];
    let sum = builder.op('Add', [x, skip], {}, bias ? undefined : node.output[3]);
    if (bias) sum = builder.op('Add', [sum, bias], {}, node.output[3]);
    const epsilon = { float: floatAttribute(node, 'epsilon', 1e-12) };
    const y = node.output[0];
    if (centred)
      builder.op(
        'LayerNormalization',
        shift ? [sum, weight, shift] : [sum, weight],
        { axis: -1, epsilon },
        y,
      );
    else builder.op('SimplifiedLayerNormalization', [sum, weight], { axis: -1, epsilon, stash_type: 1 }, y);
  };
}

/** An activation with a bias in front. */
function biased(opType: string): Decomposition {
  return (node, builder) => {
    const [x, bias] = node.input as [string, string];
    builder.contrib(opType, [builder.op('Add', [x, bias])], {}, node.output[0]);
  };
}

function rmsNormalisation(node: NodeProto, builder: DecompositionBuilder): void {
  const epsilon = { float: floatAttribute(node, 'epsilon', 1e-5) };
  const attributes = { axis: intAttribute(node, 'axis', -1), epsilon, stash_type: 1 };
  builder.op('SimplifiedLayerNormalization', node.input.slice(0, 2), attributes, node.output[0]);
}

/** ONNX RotaryEmbedding (operator set 23). */
function rotary23(node: NodeProto, builder: DecompositionBuilder, types: TensorTypes | undefined): void {
  const [x, cosineTable, sineTable, positions] = node.input as [string, string, string, string?];
  const rank = types?.get(x)?.shape?.length;
  if (rank === undefined) throw unsupported(node, 'the rank of its input is unknown');
  const table = (t: string) => builder.unsqueeze(positions ? builder.op('Gather', [t, positions]) : t, 1);
  const heads = rank === 4 ? x : builder.splitHeads(x, intAttribute(node, 'num_heads', 0));
  const interleaved = intAttribute(node, 'interleaved', 0) === 1;
  const turned = rotate(builder, heads, table(cosineTable), table(sineTable), interleaved);
  if (rank === 4) builder.alias(turned, node.output[0]);
  else builder.joinHeads(turned, node.output[0]);
}

const decompositions: Readonly<Record<string, Decomposition>> = {
  'com.microsoft::SkipLayerNormalization': skipNormalisation(true),
  'com.microsoft::SkipSimplifiedLayerNormalization': skipNormalisation(false),
  'com.microsoft::BiasGelu': biased('Gelu'),
  'com.microsoft::GroupQueryAttention': (node, builder) => groupQueryAttention(node, builder),
  'com.microsoft::MultiHeadAttention': multiHeadAttention,
  'com.microsoft::Attention': packedAttention,
  RMSNormalization: rmsNormalisation,
  RotaryEmbedding: rotary23,
  Attention: attention23,
};

/** Operators whose decomposition depends on ranks or element types. */
const TYPED = new Set(['Attention', 'RotaryEmbedding']);

function decompositionOf(node: NodeProto): Decomposition | undefined {
  const name = operatorName(node.opType, node.domain);
  if (name === 'com.microsoft::FastGelu' && node.input[1]) return biased('FastGelu');
  return Object.hasOwn(decompositions, name) ? decompositions[name] : undefined;
}

/** Whether `decompose` needs the types of the model's tensors. */
export function needsTypes(model: OnnxModel): boolean {
  return model.graph.nodes.some((node) => node.domain === '' && TYPED.has(node.opType));
}

/**
 * Replaces fused operators (the runtime's contributed attention, skip normalisations, biased activations and
 * the attention, rotary and RMS operators of operator set 23) by elementary ones, in place.
 *
 * @throws FsynError `UNSUPPORTED_OPERATOR` for a variant without an equivalent, naming the node
 */
export function decompose(model: OnnxModel, types?: TensorTypes): void {
  const { graph } = model;
  if (!graph.nodes.some((node) => decompositionOf(node))) return;
  const builder = new DecompositionBuilder(graph);
  for (const node of graph.nodes) {
    const decomposition = decompositionOf(node);
    if (decomposition) decomposition(node, builder, types);
    else builder.nodes.push(node);
  }
  graph.setNodes(builder.nodes);
  graph.proto.valueInfo = [];
}
