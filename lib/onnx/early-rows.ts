import { FsynError } from '../errors.js';
import { intAttribute, intsAttribute } from './attributes.js';
import { makeNode, type OnnxGraph, outerReferences } from './graph.js';
import { cloneNode, type OnnxModel } from './model.js';
import type { NodeProto } from './protobuf.js';
import { ancestors } from './queries.js';
import { tensorShapes } from './sizes.js';
import { madeUpFeeds } from './types.js';

/**
 * Selects rows as early as they can be: where a graph gathers rows (axis 1) by the indices in `input`, the
 * gather moves towards the graph's inputs, through every operator that treats rows apart and whose result
 * nothing else needs in full. In a decoder with a key/value cache that is the last layer but for its keys and
 * values.
 *
 * Every step is an identity, so that no value changes but for the rounding of products of other sizes. What
 * is not known to treat rows apart is left as it is. The indices must count from the end or fit every tensor
 * of the graph's row axis.
 *
 * @returns whether the gather moved
 */
export async function selectRowsEarly(
  model: OnnxModel,
  input: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const { graph } = model;
  const gathers = graph.nodes.filter(
    (node) => node.opType === 'Gather' && node.input[1] === input && intAttribute(node, 'axis', 0) === 1,
  );
  // Before that, softmax flattened the axes behind its own.
  if (gathers.length === 0 || model.opset() < 13) return false;
  let shapes: ReadonlyMap<string, readonly (number | string)[]>;
  try {
    shapes = await tensorShapes(model, madeUpFeeds(graph), [], signal);
  } catch (error) {
    // A graph whose shapes the runtime cannot infer keeps its gather.
    if (!(error instanceof FsynError)) throw error;
    return false;
  }
  const moves = new RowMoves(graph, input, shapes);
  const outputs = graph.outputNames;
  let moved = false;
  for (const gather of gathers) {
    const [rows] = gather.output as [string];
    const others = outputs.filter((name) => !descends(graph, name, rows));
    moved = moves.move(gather, others) || moved;
  }
  if (moved) {
    graph.prune();
    graph.sort();
  }
  return moved;
}

interface NarrowedTensor {
  readonly tensor: string;
  readonly axis: number;
  /** The tensor with the wanted rows only. */
  readonly name: string;
}

/** What the narrowed version of a node takes: the row axis of each input that is narrowed, by its index. */
type Demands = ReadonlyMap<number, number>;

class RowMoves {
  readonly #graph: OnnxGraph;
  readonly #input: string;
  readonly #shapes: ReadonlyMap<string, readonly (number | string)[]>;
  /** Tensors that are needed with all their rows. */
  #full = new Set<string>();
  readonly #narrowed = new Map<string, NarrowedTensor>();
  readonly #nodes: NodeProto[] = [];

  constructor(graph: OnnxGraph, input: string, shapes: ReadonlyMap<string, readonly (number | string)[]>) {
    this.#graph = graph;
    this.#input = input;
    this.#shapes = shapes;
  }

  move(gather: NodeProto, otherOutputs: readonly string[]): boolean {
    const [source] = gather.input as [string];
    this.#full = valueAncestors(this.#graph, otherOutputs);
    // What narrowed operators take whole is needed in full, which may end the way of the gather earlier.
    for (let before = -1; before !== this.#full.size; ) {
      before = this.#full.size;
      const whole = this.#wholeOperands(source, 1);
      for (const name of valueAncestors(this.#graph, whole)) this.#full.add(name);
    }
    if (this.#demandsOf(source, 1) === undefined) return false;
    const narrowed = this.#narrow(source, 1);
    this.#graph.setNodes([...this.#graph.nodes, ...this.#nodes.splice(0)]);
    this.#graph.replaceUses(gather.output[0], narrowed);
    this.#redirectShapes();
    return true;
  }

  /**
   * Operands, beside constants, that the narrowed operators from a tensor on upwards would take as they are.
   */
  #wholeOperands(tensor: string, axis: number): string[] {
    const whole = new Set<string>();
    const seen = new Set<string>();
    const pending: [string, number][] = [[tensor, axis]];
    while (pending.length > 0) {
      const [name, at] = pending.pop() as [string, number];
      const demands = seen.has(`${name} ${at}`) ? undefined : this.#demandsOf(name, at);
      seen.add(`${name} ${at}`);
      if (demands === undefined) continue;
      for (const [i, operand] of (this.#graph.producerOf(name) as NodeProto).input.entries()) {
        const next = demands.get(i);
        if (next !== undefined) pending.push([operand, next]);
        else if (operand !== '') whole.add(operand);
      }
    }
    return [...whole];
  }

  /**
   * What the producer of a tensor would take to give wanted rows only; undefined where the gather stays
   * behind it.
   */
  #demandsOf(tensor: string, axis: number): Demands | undefined {
    const node = this.#full.has(tensor) ? undefined : this.#graph.producerOf(tensor);
    const shape = this.#shapeOf(tensor);
    if (node === undefined || shape === undefined) return undefined;
    return rowDemands(node, axis, shape, (name) => this.#shapeOf(name), this.#graph);
  }

  #shapeOf(name: string): readonly number[] | undefined {
    const shape = this.#graph.constantShape(name) ?? this.#shapes.get(name);
    if (shape === undefined || shape.some((extent) => typeof extent !== 'number')) return undefined;
    // An empty shape of a computed tensor may mean that its rank is not known.
    if (shape.length === 0 && this.#graph.constantShape(name) === undefined) return undefined;
    return shape as readonly number[];
  }

  /** The tensor with the wanted rows only. */
  #narrow(tensor: string, axis: number): string {
    const known = this.#narrowed.get(`${tensor} ${axis}`);
    if (known !== undefined) return known.name;
    const demands = this.#demandsOf(tensor, axis);
    if (demands === undefined) return this.#gather(tensor, axis);
    const node = this.#graph.producerOf(tensor) as NodeProto;
    const narrow = cloneNode(node);
    narrow.name = this.#graph.uniqueName(`${node.name || node.opType}/rows`);
    narrow.input = node.input.map((operand, i) => {
      const next = demands.get(i);
      return next === undefined ? operand : this.#narrow(operand, next);
    });
    if (node.opType === 'Reshape') narrow.input[1] = this.#shapeKeeping(node.input[1], axis);
    narrow.output = node.output.map((output) => {
      if (output === '') return '';
      return this.#remember(output, axis);
    });
    this.#nodes.push(narrow);
    return narrow.output[node.output.indexOf(tensor)];
  }

  #gather(tensor: string, axis: number): string {
    const name = this.#remember(tensor, axis);
    this.#nodes.push(makeNode('Gather', [tensor, this.#input], [name], { attributes: { axis } }));
    return name;
  }

  #remember(tensor: string, axis: number): string {
    const name = this.#graph.uniqueName(`${tensor}/rows`);
    this.#narrowed.set(`${tensor} ${axis}`, { tensor, axis, name });
    return name;
  }

  /** A target shape whose row axis is taken from the input: 0 in its place. */
  #shapeKeeping(shape: string, axis: number): string {
    const graph = this.#graph;
    const name = graph.uniqueName('rows/shape');
    const at = graph.addInt64('rows/axis', [axis]);
    this.#nodes.push(
      makeNode('ScatterElements', [shape, at, graph.addInt64('rows/same', [0])], [name], {
        attributes: { axis: 0 },
      }),
    );
    return name;
  }

  /**
   * Where only extents of a tensor are read, and not that of its rows, the narrowed tensor tells them as
   * well; the full one would be computed for nothing else.
   */
  #redirectShapes(): void {
    for (const { tensor, axis, name } of this.#narrowed.values()) {
      if (this.#full.has(tensor)) continue;
      const rank = this.#shapeOf(tensor)?.length ?? 0;
      for (const reader of this.#graph.consumersOf(tensor)) {
        if (reader.opType !== 'Shape' || reader.attribute.length > 0) continue;
        const reads = this.#graph
          .consumersOf(reader.output[0])
          .map((node) => (node.opType === 'Gather' ? this.#graph.constantOf(node.input[1]) : undefined));
        const apart = reads.every((at) => at?.every((index) => (index + rank) % rank !== axis));
        if (apart) reader.input[0] = name;
      }
    }
    this.#graph.touch();
  }
}

const ELEMENTWISE = new Set(
  (
    'Abs Add And BiasGelu Cast Clip Cos Div Elu Equal Erf Exp FastGelu Gelu Greater GreaterOrEqual HardSigmoid HardSwish ' +
    'Identity LeakyRelu Less LessOrEqual Log Max Min Mish Mod Mul Neg Not Or Pow QuickGelu Reciprocal Relu Round Sigmoid ' +
    'Sign Sin Softplus Sqrt Sub Sum Swish Tanh ThresholdedRelu Where Xor'
  ).split(' '),
);

const NORMS = new Set(['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization']);
const SKIP_NORMS = new Set(['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization']);

/**
 * Which inputs of a node must be narrowed, and along which axis, for its output to be narrowed along `axis`;
 * undefined for operators that are not known to treat rows apart.
 */
function rowDemands(
  node: NodeProto,
  axis: number,
  shape: readonly number[],
  shapeOf: (name: string) => readonly number[] | undefined,
  graph: OnnxGraph,
): Demands | undefined {
  const rank = shape.length;
  const rows = shape[axis];
  const type = node.opType;
  const only = (index: number, at = axis): Demands | undefined =>
    shapeOf(node.input[index])?.[at] === rows ? new Map([[index, at]]) : undefined;
  const before = (last: number) => ((last % rank) + rank) % rank > axis;
  if (rows === undefined || rows === 1) return undefined;
  if (ELEMENTWISE.has(type)) return broadcastDemands(node, axis, rank, rows, shapeOf);
  if (type === 'Softmax' || type === 'LogSoftmax')
    return before(intAttribute(node, 'axis', -1)) ? only(0) : undefined;
  if (NORMS.has(type)) {
    const alone = node.output.slice(1).every((name) => name === '');
    return alone && before(intAttribute(node, 'axis', -1)) ? only(0) : undefined;
  }
  if (SKIP_NORMS.has(type)) return skipDemands(node, axis, rank, rows, shapeOf);
  if (type === 'MatMul' || (type === 'FusedMatMul' && plainProduct(node))) {
    const narrow = (shapeOf(node.input[1])?.length ?? 0) >= 2;
    return narrow && axis === rank - 2 && shapeOf(node.input[0])?.length === rank ? only(0) : undefined;
  }
  if (type === 'MatMulNBits' || type === 'MatMulBnb4') return axis === rank - 2 ? only(0) : undefined;
  if (type === 'ReduceMean' || type === 'ReduceSum') {
    const axes = intsAttribute(node, 'axes') ?? graph.constantOf(node.input[1] ?? '');
    const inner = shapeOf(node.input[0])?.length;
    const behind = axes?.every((at) => inner !== undefined && (at + inner) % inner > axis);
    return axes !== undefined && axes.length > 0 && behind ? only(0) : undefined;
  }
  if (type === 'Transpose') {
    const at = intsAttribute(node, 'perm')?.[axis];
    return at === undefined ? undefined : only(0, at);
  }
  if (type === 'Reshape') return reshapeDemands(node, axis, shape, shapeOf);
  if (type === 'Concat') {
    const along = (intAttribute(node, 'axis', 0) + rank) % rank;
    const fits = along !== axis && node.input.every((name) => shapeOf(name)?.[axis] === rows);
    return fits ? new Map(node.input.map((_, i) => [i, axis])) : undefined;
  }
  if (type === 'Split') return (intAttribute(node, 'axis', 0) + rank) % rank !== axis ? only(0) : undefined;
  if (type === 'Slice') {
    const axes = graph.constantOf(node.input[3] ?? '');
    return axes?.every((at) => (at + rank) % rank !== axis) ? only(0) : undefined;
  }
  return undefined;
}

/** Inputs that have the row axis of a broadcast; the others have one row, or none, for all. */
function broadcastDemands(
  node: NodeProto,
  axis: number,
  rank: number,
  rows: number,
  shapeOf: (name: string) => readonly number[] | undefined,
): Demands | undefined {
  const demands = new Map<number, number>();
  for (const [i, name] of node.input.entries()) {
    if (name === '') continue;
    const shape = shapeOf(name);
    if (shape === undefined) return undefined;
    const at = axis - (rank - shape.length);
    if (at >= 0 && shape[at] === rows) demands.set(i, at);
    else if (at >= 0 && shape[at] !== 1) return undefined;
  }
  return demands.size > 0 ? demands : undefined;
}

/**
 * Input and skip have the rows; gain, offset and bias belong to channels. Statistics are outputs that nobody
 * may use.
 */
function skipDemands(
  node: NodeProto,
  axis: number,
  rank: number,
  rows: number,
  shapeOf: (name: string) => readonly number[] | undefined,
): Demands | undefined {
  const statistics = node.output.slice(1, 3).some((name) => name !== '');
  const fits = [0, 1].every((i) => {
    const shape = shapeOf(node.input[i]);
    return shape?.length === rank && shape[axis] === rows;
  });
  return !statistics && fits && axis < rank - 1 ? new Map([0, 1].map((i) => [i, axis])) : undefined;
}

/** A reshape that keeps the axes up to the rows and regroups those behind them. */
function reshapeDemands(
  node: NodeProto,
  axis: number,
  shape: readonly number[],
  shapeOf: (name: string) => readonly number[] | undefined,
): Demands | undefined {
  const given = shapeOf(node.input[0]);
  const target = shapeOf(node.input[1]);
  if (given === undefined || target?.length !== 1 || intAttribute(node, 'allowzero', 0) !== 0)
    return undefined;
  for (let at = 0; at <= axis; at++) if (given[at] !== shape[at]) return undefined;
  return new Map([[0, axis]]);
}

function plainProduct(node: NodeProto): boolean {
  return ['transA', 'transBatchA', 'transBatchB'].every((name) => intAttribute(node, name, 0) === 0);
}

/** Tensors whose values some tensors depend on, themselves included; extents alone are no dependence. */
function valueAncestors(graph: OnnxGraph, tensors: readonly string[]): Set<string> {
  return ancestors(graph, tensors, (node) =>
    node.opType === 'Shape' ? [] : [...node.input, ...outerReferences(node)],
  );
}

function descends(graph: OnnxGraph, tensor: string, from: string): boolean {
  return valueAncestors(graph, [tensor]).has(from);
}
