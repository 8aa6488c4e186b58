import { intAttribute, intsAttribute } from './attributes.js';
import type { Dimension } from './graph.js';
import type { OnnxModel } from './model.js';
import type { NodeProto } from './protobuf.js';
import type { TensorType, TensorTypes } from './types.js';

/**
 * Gives open axes that surely have the same extent the same name, where the runtime's shape inference lost
 * track: behind reshapes to extents of other tensors. So the gradient of a sum knows which axes were not
 * repeated, though they had the extent 1 in the probe.
 *
 * Axes whose extents differ in the probe run are told apart whatever the rules say.
 */
export function withEqualAxes(model: OnnxModel, types: TensorTypes): TensorTypes {
  const axes = new Axes(model, types);
  for (const node of model.graph.nodes) axes.visit(node);
  return axes.named();
}

const SAME_SHAPE = new Set(
  (
    'Abs Cast Clip Cos CumSum Dropout Erf Exp FastGelu Gelu Identity LayerNormalization LeakyRelu Log LogSoftmax Neg ' +
    'QuickGelu Reciprocal Relu RotaryEmbedding Sigmoid SimplifiedLayerNormalization Sin Softmax Softplus Sqrt Swish Tanh Trilu'
  ).split(' '),
);
const BROADCAST = new Set('Add And Div Equal Greater Less Max Min Mul Or Pow Sub Sum Where'.split(' '));
const REDUCTIONS = new Set('ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum'.split(' '));

/** A vector of more entries is no shape. */
const MOST_AXES = 16;

class Axes {
  readonly #model: OnnxModel;
  readonly #types: TensorTypes;
  /** Extents of tensors: numbers, or names of classes. */
  readonly #extents = new Map<string, readonly Dimension[]>();
  /** Entries of int64 vectors (and scalars) that are extents. */
  readonly #entries = new Map<string, readonly Dimension[]>();
  readonly #parents = new Map<string, Dimension>();

  constructor(model: OnnxModel, types: TensorTypes) {
    this.#model = model;
    this.#types = types;
  }

  visit(node: NodeProto): void {
    this.#followEntries(node);
    const derived = this.#derive(node);
    // Parts of a split differ along its axis only; further outputs of norms are statistics.
    const outputs = node.opType === 'Split' ? node.output : node.output.slice(0, 1);
    for (const output of outputs) if (output) this.#settle(output, derived);
  }

  /** The types with classes for open extents. */
  named(): TensorTypes {
    const mixed = this.#mixedClasses();
    const named = new Map<string, TensorType>();
    for (const [name, type] of this.#types) {
      const extents = this.#extents.get(name);
      if (!type.shape || extents?.length !== type.shape.length) {
        named.set(name, type);
        continue;
      }
      const shape = type.shape.map((extent, axis) => {
        const found = this.#find(extents[axis] as Dimension);
        return typeof extent === 'number' || mixed.has(found) ? extent : found;
      });
      named.set(name, { ...type, shape });
    }
    return named;
  }

  #mixedClasses(): Set<Dimension> {
    const seen = new Map<Dimension, number>();
    const mixed = new Set<Dimension>();
    for (const [name, extents] of this.#extents) {
      const probe = this.#types.get(name)?.probe;
      if (probe?.length !== extents.length) continue;
      for (const [axis, extent] of extents.entries()) {
        const found = this.#find(extent);
        const size = probe[axis];
        const known = typeof found === 'number' ? found : (seen.get(found) ?? size);
        if (known !== size) mixed.add(found);
        seen.set(found, size);
      }
    }
    return mixed;
  }

  #find(extent: Dimension): Dimension {
    let found = extent;
    while (typeof found === 'string' && this.#parents.has(found))
      found = this.#parents.get(found) as Dimension;
    return found;
  }

  #join(a: Dimension, b: Dimension): void {
    const [x, y] = [this.#find(a), this.#find(b)];
    if (x === y) return;
    if (typeof x === 'string') this.#parents.set(x, y);
    else if (typeof y === 'string') this.#parents.set(y, x);
  }

  #of(tensor: string): readonly Dimension[] | undefined {
    const known = this.#extents.get(tensor);
    if (known) return known;
    const shape = this.#model.graph.constantShape(tensor) ?? this.#types.get(tensor)?.shape;
    return shape && this.#settle(tensor, undefined);
  }

  /** Extents of a tensor: what the runtime knows, joined with what was derived. */
  #settle(tensor: string, derived: readonly Dimension[] | undefined): readonly Dimension[] | undefined {
    const shape = this.#model.graph.constantShape(tensor) ?? this.#types.get(tensor)?.shape;
    if (!shape) return undefined;
    const fits = derived?.length === shape.length ? derived : undefined;
    const extents = shape.map((extent, axis) => {
      const own = extent === '' ? `${tensor} axis ${axis}` : extent;
      const other = fits?.[axis];
      if (other !== undefined && other !== '') this.#join(own, other);
      return own;
    });
    this.#extents.set(tensor, extents);
    return extents;
  }

  #derive(node: NodeProto): readonly Dimension[] | undefined {
    const type = node.opType;
    const inputs = node.input.map((name) => (name ? this.#of(name) : undefined));
    const [x] = inputs;
    if (SAME_SHAPE.has(type)) return x;
    if (BROADCAST.has(type)) return this.#broadcast(inputs);
    if (type === 'MatMul') return this.#product(inputs);
    if (type === 'Reshape') return this.#reshaped(node, x);
    if (!x) return undefined;
    const ints = (name: string, input = 1) =>
      intsAttribute(node, name) ?? this.#model.graph.constantOf(node.input[input] ?? '');
    const at = (axis: number, rank = x.length) => (axis < 0 ? axis + rank : axis);
    if (type === 'Transpose') {
      const order = intsAttribute(node, 'perm') ?? [...x.keys()].reverse();
      return order.map((axis) => x[axis] as Dimension);
    }
    if (type === 'Unsqueeze') {
      const axes = ints('axes');
      if (!axes) return undefined;
      const rank = x.length + axes.length;
      const added = new Set(axes.map((axis) => at(axis, rank)));
      const rest = [...x];
      return Array.from({ length: rank }, (_, i) => (added.has(i) ? 1 : (rest.shift() as Dimension)));
    }
    if (type === 'Squeeze') {
      const removed = new Set(ints('axes')?.map((axis) => at(axis)));
      return removed.size > 0 ? x.filter((_, axis) => !removed.has(axis)) : undefined;
    }
    if (type === 'Slice') {
      const changed = new Set(ints('axes', 3)?.map((axis) => at(axis)));
      return changed.size > 0 ? x.map((extent, axis) => (changed.has(axis) ? '' : extent)) : undefined;
    }
    if (type === 'Split' || type === 'Concat') {
      const along = at(intAttribute(node, 'axis', 0));
      return x.map((extent, axis) => (axis === along ? '' : extent));
    }
    if (type === 'Gather') {
      const [along, indices] = [at(intAttribute(node, 'axis', 0)), inputs[1]];
      return indices && [...x.slice(0, along), ...indices, ...x.slice(along + 1)];
    }
    if (REDUCTIONS.has(type)) {
      const reduced = new Set(ints('axes')?.map((axis) => at(axis)));
      if (reduced.size === 0) return undefined;
      const kept = intAttribute(node, 'keepdims', 1) === 1;
      return kept
        ? x.map((d, axis) => (reduced.has(axis) ? 1 : d))
        : x.filter((_, axis) => !reduced.has(axis));
    }
    return type === 'Conv' ? x.map((extent, axis) => (axis === 0 ? extent : '')) : undefined;
  }

  #broadcast(inputs: readonly (readonly Dimension[] | undefined)[]): Dimension[] | undefined {
    if (inputs.some((extents) => !extents)) return undefined;
    const operands = inputs as readonly (readonly Dimension[])[];
    const rank = Math.max(...operands.map(({ length }) => length));
    return Array.from({ length: rank }, (_, axis) => {
      const found = new Set<Dimension>();
      for (const extents of operands) {
        const extent = extents[axis - (rank - extents.length)];
        if (extent !== undefined) found.add(this.#find(extent));
      }
      found.delete(1);
      if (found.size === 0) return 1;
      // A number above 1 is the extent of the result, whatever is repeated to it.
      const number = [...found].find((extent) => typeof extent === 'number');
      return number ?? (found.size === 1 ? ([...found][0] as Dimension) : '');
    });
  }

  #product(inputs: readonly (readonly Dimension[] | undefined)[]): Dimension[] | undefined {
    const [a, b] = inputs;
    if (!a || !b || a.length < 2 || b.length < 2) return undefined;
    const batch = this.#broadcast([a.slice(0, -2), b.slice(0, -2)]) as Dimension[];
    return [...batch, a.at(-2) as Dimension, b.at(-1) as Dimension];
  }

  #reshaped(node: NodeProto, x: readonly Dimension[] | undefined): Dimension[] | undefined {
    const target = this.#entriesOf(node.input[1]);
    const copies = intAttribute(node, 'allowzero', 0) === 0;
    return target?.map((entry, axis) => {
      if (entry === -1) return '';
      return entry === 0 && copies ? (x?.[axis] ?? '') : entry;
    });
  }

  #entriesOf(tensor: string): readonly Dimension[] | undefined {
    const known = this.#entries.get(tensor) ?? this.#model.graph.constantOf(tensor);
    if (known) return known;
    // A number that is computed otherwise is at least the same wherever it is used.
    const type = this.#types.get(tensor);
    const count = type?.probe
      ? type.probe.length === 0
        ? 1
        : type.probe.length === 1
          ? type.probe[0]
          : 0
      : 0;
    return count ? Array.from({ length: count }, (_, i) => `${tensor} entry ${i}`) : undefined;
  }

  /** Follows extents through the operators that exporters make shapes with. */
  #followEntries(node: NodeProto): void {
    const entries = this.#madeEntries(node);
    if (entries) this.#entries.set(node.output[0], entries);
  }

  #madeEntries(node: NodeProto): readonly Dimension[] | undefined {
    const [source, second] = node.input as [string, string?];
    const constant = (name: string | undefined) =>
      name === undefined ? undefined : this.#model.graph.constantOf(name);
    if (node.opType === 'Shape') return node.attribute.length === 0 ? this.#of(source) : undefined;
    const entries = this.#entries.get(source);
    if (['Cast', 'Identity', 'Squeeze', 'Unsqueeze'].includes(node.opType)) return entries;
    if (node.opType === 'Gather' && entries) {
      const picked = constant(second)?.map((i) => entries[i < 0 ? i + entries.length : i]);
      return picked?.every((entry) => entry !== undefined) ? (picked as Dimension[]) : undefined;
    }
    if (node.opType === 'Slice' && entries) {
      const [from, to, step] = [constant(second), constant(node.input[2]), constant(node.input[4])];
      const plain = from?.length === 1 && to?.length === 1 && (step?.[0] ?? 1) === 1;
      return plain ? entries.slice(from[0], to[0]) : undefined;
    }
    if (node.opType !== 'Concat' || this.#types.get(node.output[0])?.probe?.length !== 1) return undefined;
    const parts = node.input.map((name) => this.#entriesOf(name));
    const small = parts.every((part) => part !== undefined && part.length < MOST_AXES);
    return small ? parts.flatMap((part) => part ?? []) : undefined;
  }
}
