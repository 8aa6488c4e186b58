import { FsynError } from '../../errors.js';
import { type AttributeInputs, intsAttribute } from '../attributes.js';
import { makeNode, type OnnxGraph } from '../graph.js';
import type { NodeProto } from '../protobuf.js';
import { DataType, float32Tensor, int64Tensor } from '../tensors.js';
import type { TensorType, TensorTypes } from '../types.js';

const MICROSOFT = 'com.microsoft';

/**
 * Appends backward nodes to a graph. Every method takes and returns tensor names.
 *
 * Constants, shapes and transposes are memoised; the nodes are collected in `nodes` and are not sorted.
 */
export class BackwardBuilder {
  readonly nodes: NodeProto[] = [];
  readonly graph: OnnxGraph;
  readonly types: TensorTypes;
  readonly #memo = new Map<string, string>();
  readonly #scaled = new Map<string, Scaled>();
  #count = 0;
  /** How many reductions had to find their axes at run time. */
  dynamicReductions = 0;
  /** The smallest version of ONNX's operator set that the added nodes need. */
  minimumOpset = 16;

  constructor(graph: OnnxGraph, types: TensorTypes) {
    this.graph = graph;
    this.types = types;
  }

  op(opType: string, input: readonly string[], attributes: AttributeInputs = {}, domain = ''): string {
    return this.ops(opType, input, 1, attributes, domain)[0];
  }

  /** A node with several outputs. All are named: ORT crashes on a Split with an unnamed output. */
  ops(
    opType: string,
    input: readonly string[],
    outputs: number,
    attributes: AttributeInputs = {},
    domain = '',
  ): string[] {
    const name = this.graph.uniqueName(`backward/${opType}_${this.#count++}`);
    const output = Array.from({ length: outputs }, (_, i) => (outputs > 1 ? `${name}:${i}` : name));
    this.nodes.push(makeNode(opType, [...input], output, { name, domain, attributes }));
    return output;
  }

  /** The result of `build`, built once per key. */
  once(key: string, build: () => string): string {
    const known = this.#memo.get(key);
    if (known !== undefined) return known;
    const made = build();
    this.#memo.set(key, made);
    return made;
  }

  /** An int64 vector. */
  int64(values: readonly number[]): string {
    return this.once(`int64 ${values.join()}`, () =>
      this.graph.addInitializer(int64Tensor(this.graph.uniqueName('backward/int64'), values)),
    );
  }

  /** An int64 scalar. */
  index(value: number): string {
    return this.once(`index ${value}`, () =>
      this.graph.addInitializer(int64Tensor(this.graph.uniqueName('backward/index'), [value], [])),
    );
  }

  /** A float scalar of the element type of `like`. */
  scalar(value: number, like: string): string {
    return this.scalarOf(value, this.dataType(like));
  }

  scalarOf(value: number, dataType: number): string {
    return this.once(`scalar ${dataType} ${value}`, () => {
      const name = this.graph.addInitializer(
        float32Tensor(this.graph.uniqueName('backward/scalar'), [value]),
      );
      return dataType === DataType.float32 ? name : this.op('Cast', [name], { to: dataType });
    });
  }

  dataType(tensor: string): number {
    return this.types.get(tensor)?.dataType ?? DataType.float32;
  }

  rank(tensor: string): number {
    return this.type(tensor).shape.length;
  }

  /** Type with a known rank. */
  type(tensor: string): TensorType & { shape: NonNullable<TensorType['shape']> } {
    const known = this.types.get(tensor);
    if (!known?.shape) {
      const message = `The rank of ${JSON.stringify(tensor)} is unknown; give probe feeds, so that one run can find it.`;
      throw new FsynError('UNSUPPORTED_MODEL', message);
    }
    return known as TensorType & { shape: NonNullable<TensorType['shape']> };
  }

  /** A tensor's shape, int64 [rank]. */
  shapeOf(tensor: string): string {
    const shape = this.types.get(tensor)?.shape;
    if (shape && shape.length > 0 && shape.every((d) => typeof d === 'number'))
      return this.int64(shape as number[]);
    return this.once(`shape ${tensor}`, () => this.op('Shape', [tensor]));
  }

  /** One dimension of a tensor, int64 [1]. */
  dimension(tensor: string, axis: number): string {
    const known = this.types.get(tensor)?.shape?.[axis];
    if (typeof known === 'number') return this.int64([known]);
    return this.once(`dimension ${tensor} ${axis}`, () =>
      this.op('Gather', [this.shapeOf(tensor), this.int64([axis])], { axis: 0 }),
    );
  }

  zerosLike(tensor: string): string {
    return this.once(`zeros ${tensor}`, () =>
      this.op('Expand', [this.scalar(0, tensor), this.shapeOf(tensor)]),
    );
  }

  add(a: string, b: string): string {
    return this.op('Add', [a, b]);
  }

  sub(a: string, b: string): string {
    return this.op('Sub', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.op('Mul', [a, b]);
  }

  div(a: string, b: string): string {
    return this.op('Div', [a, b]);
  }

  neg(a: string): string {
    return this.op('Neg', [a]);
  }

  /** A tensor times a number, of the element type of `like`. */
  scale(a: string, factor: number, like: string): string {
    if (factor === 1) return a;
    const scaled = this.mul(a, this.scalar(factor, like));
    this.#scaled.set(scaled, { of: a, factor });
    return scaled;
  }

  /**
   * A gradient times a forward tensor; of a constant number it is remembered, so that a product can take it
   * in.
   */
  times(gradient: string, tensor: string): string {
    const constant = this.graph.constantOf(tensor);
    const [factor] = constant ?? [];
    if (constant?.length !== 1 || factor === undefined) return this.mul(gradient, tensor);
    return this.scale(gradient, factor, tensor);
  }

  /** What a gradient was before it was multiplied with numbers, and their product. */
  unscaled(tensor: string): Scaled {
    let [of, factor] = [tensor, 1];
    for (let step = this.#scaled.get(of); step; step = this.#scaled.get(of)) {
      factor *= step.factor;
      of = step.of;
    }
    return { of, factor };
  }

  reduceSum(a: string, axes: readonly number[], keepDims = true): string {
    return this.op('ReduceSum', [a, this.int64(axes)], { keepdims: keepDims ? 1 : 0 });
  }

  reshapeLike(gradient: string, tensor: string): string {
    return this.op('Reshape', [gradient, this.shapeOf(tensor)], { allowzero: 1 });
  }

  unsqueeze(a: string, axes: readonly number[]): string {
    return this.op('Unsqueeze', [a, this.int64(axes)]);
  }

  /** Swaps the last two axes. */
  transposeLast(a: string, rank: number): string {
    const order = Array.from({ length: rank }, (_, i) => i);
    order[rank - 1] = rank - 2;
    order[rank - 2] = rank - 1;
    return this.once(`transpose ${a}`, () => this.op('Transpose', [a], { perm: order }));
  }

  /**
   * Matrix product with transposed operands. FusedMatMul instead of Transpose + MatMul, because ORT folds a
   * transposed weight into a second copy of it. Numbers that an operand was multiplied with become part of
   * the product.
   */
  fusedMatMul(a: string, b: string, transA: boolean, transB: boolean, alpha = 1): string {
    const [left, right] = [this.unscaled(a), this.unscaled(b)];
    const scale = alpha * left.factor * right.factor;
    const operands = [left.of, right.of];
    if (!transA && !transB && scale === 1) return this.op('MatMul', operands);
    const values = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: scale } };
    return this.op('FusedMatMul', operands, values, MICROSOFT);
  }

  /** Sums a gradient of the (broadcast) shape of `wide` down to the shape of `narrow`. */
  unbroadcast(gradient: string, wide: string, narrow: string): string {
    return this.reduceTo(gradient, this.types.get(wide), wide, narrow);
  }

  /** Like `unbroadcast`, with the type of the gradient given; `wide` only names what the memo remembers. */
  reduceTo(gradient: string, from: TensorType | undefined, wide: string, narrow: string): string {
    const axes = broadcastAxes(from, this.types.get(narrow));
    if (!axes) return this.#reduceDynamically(gradient, wide, narrow);
    if (axes.length === 0) return gradient;
    const added = this.rankOf(from) - this.rank(narrow);
    const sum = this.reduceSum(gradient, axes);
    if (added === 0) return sum;
    return this.op('Squeeze', [sum, this.int64(Array.from({ length: added }, (_, i) => i))]);
  }

  /** Whether all axes but the last two surely have the same extents. */
  sameBatch(a: string, b: string): boolean {
    const [x, y] = [this.types.get(a), this.types.get(b)];
    if (!x?.shape || x.shape.length !== y?.shape?.length) return false;
    return x.shape.slice(0, -2).every((d, i) => {
      const e = y.shape?.[i];
      const probed = x.probe?.[i];
      return (d !== '' && d === e) || (probed !== undefined && probed > 1 && probed === y.probe?.[i]);
    });
  }

  rankOf(type: TensorType | undefined): number {
    return type?.shape?.length ?? 0;
  }

  #reduceDynamically(gradient: string, wide: string, narrow: string): string {
    this.dynamicReductions++;
    const axes = this.once(`axes ${wide} ${narrow}`, () => {
      const shape = this.op('Shape', [narrow]);
      const added = this.sub(this.op('Shape', [this.op('Shape', [gradient])]), this.op('Shape', [shape]));
      const padded = this.op('Concat', [this.op('Expand', [this.int64([1]), added]), shape], { axis: 0 });
      const ones = this.op('NonZero', [this.op('Equal', [padded, this.int64([1])])]);
      return this.op('Reshape', [ones, this.int64([-1])]);
    });
    const sum = this.op('ReduceSum', [gradient, axes], { keepdims: 1, noop_with_empty_axes: 1 });
    return this.op('Reshape', [sum, this.op('Shape', [narrow])], { allowzero: 1 });
  }

  /**
   * Reduction axes of a node, from its attribute or its constant second input, not negative; undefined means
   * all.
   */
  axes(node: NodeProto, rank: number): number[] | undefined {
    const input = node.input[1];
    const given = intsAttribute(node, 'axes') ?? (input ? this.graph.constantOf(input) : undefined);
    if (!given && input) throw unsupported(node, 'its axes are not constant');
    if (!given || given.length === 0) return undefined;
    return given.map((axis) => (axis < 0 ? axis + rank : axis));
  }
}

/** A tensor that is another one times a number. */
export interface Scaled {
  readonly of: string;
  readonly factor: number;
}

/**
 * Axes over which a broadcast from `narrow` to `wide` repeated values; undefined when that is only known at
 * run time.
 */
function broadcastAxes(wide: TensorType | undefined, narrow: TensorType | undefined): number[] | undefined {
  if (!wide?.shape || !narrow?.shape) return undefined;
  const added = wide.shape.length - narrow.shape.length;
  if (added < 0) return undefined;
  const axes = Array.from({ length: added }, (_, i) => i);
  for (const [i, d] of narrow.shape.entries()) {
    const w = wide.shape[i + added];
    if (d === 1) {
      if (w !== 1) axes.push(i + added);
      continue;
    }
    if (typeof d === 'number' || (d !== '' && d === w)) continue;
    const seen = narrow.probe?.[i];
    // A probe with distinct sizes above 1 tells a repeated axis from an equal one.
    if (seen === undefined || seen === 1 || seen !== wide.probe?.[i + added]) return undefined;
  }
  return axes;
}

/** The error for a node that gradients cannot flow through. */
export function unsupported(node: NodeProto, reason: string): FsynError {
  const type = node.domain ? `${node.domain}::${node.opType}` : node.opType;
  return new FsynError(
    'UNSUPPORTED_OPERATOR',
    `Cannot differentiate ${type} (node ${JSON.stringify(node.name)}): ${reason}.`,
  );
}
