import { FsynError } from '../errors.js';
import { EXPORTED } from './exported.js';
import { makeNode } from './graph.js';
import type { OnnxModel } from './model.js';
import type { NodeProto } from './protobuf.js';
import { requireTensor } from './queries.js';
import { DataType } from './tensors.js';

export interface HeadSelection {
  /** Name of the logits output, shape [batch, sequence, vocabulary]. */
  readonly logits?: string;
  /** Name of an int64 [positions] input that selects rows (sequence positions). */
  readonly rows?: string;
  /** Name of an int64 [tokens] input that selects columns (vocabulary entries). */
  readonly columns?: string;
}

/**
 * Makes the language-model head compute only chosen logits: `logits` becomes [batch, positions, tokens].
 *
 * The selection moves in front of the last matrix product, where it saves positions x vocabulary
 * multiplications. When the head is not one product with a constant weight (a quantised head, a bias added
 * afterwards), columns are selected behind it.
 */
export function selectLogits(model: OnnxModel, selection: HeadSelection): void {
  const { graph } = model;
  const logits = selection.logits ?? EXPORTED.logits;
  requireTensor(graph, logits, model.source);
  if (!graph.producerOf(logits)) {
    throw new FsynError(
      'UNSUPPORTED_MODEL',
      `${model.source}: ${JSON.stringify(logits)} is not computed by the graph.`,
    );
  }
  if (selection.rows) selectRows(model, logits, selection.rows);
  if (selection.columns) selectColumns(model, logits, selection.columns);
  const output = graph.proto.output.find((value) => value.name === logits);
  // The declared shape has the full sequence and vocabulary.
  if (output) delete output.type;
  graph.touch();
  graph.sort();
}

/** The product that makes the logits and, from it to them, the operators that keep the row axis apart. */
function headProduct(model: OnnxModel, logits: string): NodeProto {
  const { graph } = model;
  let node = graph.producerOf(logits) as NodeProto;
  while (['Cast', 'Identity', 'Add', 'Mul', 'Div', 'Tanh'].includes(node.opType)) {
    const variable = node.input.filter(
      (name) => !graph.initializers.has(name) && graph.constantOf(name) === undefined,
    );
    const next = variable.length === 1 ? graph.producerOf(variable[0]) : undefined;
    if (!next) break;
    node = next;
  }
  return node;
}

function selectRows(model: OnnxModel, logits: string, input: string): void {
  const { graph } = model;
  const node = headProduct(model, logits);
  graph.addInput(input, DataType.int64, ['positions']);
  const single = ['MatMul', 'FusedMatMul', 'MatMulNBits', 'MatMulBnb4'].includes(node.opType);
  const names = single ? { target: node, index: 0 } : undefined;
  if (names && graph.consumersOf(node.output[0] as string).length <= 1) {
    node.input[0] = graph.addNode('head/rows', 'Gather', [node.input[0], input], { axis: 1 });
  } else gatherBehind(model, logits, input, 1);
}

function selectColumns(model: OnnxModel, logits: string, input: string): void {
  const { graph } = model;
  const node = graph.producerOf(logits) as NodeProto;
  graph.addInput(input, DataType.int64, ['tokens']);
  const weight = node.input[1];
  const constant = graph.initializers.has(weight) || transposedInitializer(model, weight);
  if (node.opType === 'MatMul' && constant) {
    node.input[1] = graph.addNode('head/columns', 'Gather', [weight, input], { axis: 1 });
  } else gatherBehind(model, logits, input, 2);
}

function transposedInitializer(model: OnnxModel, name: string): boolean {
  const producer = model.graph.producerOf(name);
  return producer?.opType === 'Transpose' && model.graph.initializers.has(producer.input[0]);
}

/** Selects from the finished logits: the tensor keeps its name, the full one gets another. */
function gatherBehind(model: OnnxModel, logits: string, input: string, axis: number): void {
  const { graph } = model;
  const node = graph.producerOf(logits) as NodeProto;
  const full = graph.uniqueName(`head/all${axis}`);
  node.output[node.output.indexOf(logits)] = full;
  graph.proto.node.push(makeNode('Gather', [full, input], [logits], { attributes: { axis } }));
  graph.touch();
}
