import type { AttributeInputs } from '../attributes.js';
import { makeNode, type OnnxGraph } from '../graph.js';
import type { NodeProto } from '../protobuf.js';
import { DataType, float32Tensor, int64Tensor } from '../tensors.js';

/** Collects the nodes that replace others. Every method takes and returns tensor names. */
export class DecompositionBuilder {
  readonly nodes: NodeProto[] = [];
  readonly graph: OnnxGraph;
  readonly #constants = new Map<string, string>();

  constructor(graph: OnnxGraph) {
    this.graph = graph;
  }

  op(opType: string, input: readonly string[], attributes: AttributeInputs = {}, output?: string): string {
    const name = output || this.graph.uniqueName(`decomposed/${opType}`);
    this.nodes.push(makeNode(opType, [...input], [name], { name: `${name}/node`, attributes }));
    return name;
  }

  contrib(opType: string, input: readonly string[], attributes: AttributeInputs, output: string): string {
    this.nodes.push(
      makeNode(opType, [...input], [output], { name: `${output}/node`, domain: 'com.microsoft', attributes }),
    );
    return output;
  }

  /** Parts of a tensor along an axis, by run-time sizes. */
  split(x: string, sizes: string, parts: number, axis: number): string[] {
    const name = this.graph.uniqueName('decomposed/Split');
    const output = Array.from({ length: parts }, (_, i) => `${name}:${i}`);
    this.nodes.push(makeNode('Split', [x, sizes], output, { name, attributes: { axis } }));
    return output;
  }

  int64(...values: number[]): string {
    return this.#constant(`int64 ${values.join()}`, (name) =>
      this.graph.addInitializer(int64Tensor(name, values)),
    );
  }

  index(value: number): string {
    return this.#constant(`index ${value}`, (name) =>
      this.graph.addInitializer(int64Tensor(name, [value], [])),
    );
  }

  float(value: number): string {
    return this.#constant(`float ${value}`, (name) =>
      this.graph.addInitializer(float32Tensor(name, [value])),
    );
  }

  #constant(key: string, make: (name: string) => string): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const made = make(this.graph.uniqueName('decomposed/constant'));
    this.#constants.set(key, made);
    return made;
  }

  /** One dimension as an int64 vector of one. */
  dimension(x: string, axis: number): string {
    return this.op('Gather', [this.op('Shape', [x]), this.int64(axis)], { axis: 0 });
  }

  asIndex(vector: string): string {
    return this.op('Squeeze', [vector, this.int64(0)]);
  }

  /** 0, 1, ..., count - 1 for a count given as a vector of one. */
  range(count: string): string {
    return this.op('Range', [this.index(0), this.asIndex(count), this.index(1)]);
  }

  unsqueeze(x: string, ...axes: number[]): string {
    return this.op('Unsqueeze', [x, this.int64(...axes)]);
  }

  toInt64(x: string): string {
    return this.op('Cast', [x], { to: DataType.int64 });
  }

  /** [batch, sequence, heads * size] to [batch, heads, sequence, size]. */
  splitHeads(x: string, heads: number): string {
    return this.op('Transpose', [this.op('Reshape', [x, this.int64(0, 0, heads, -1)])], {
      perm: [0, 2, 1, 3],
    });
  }

  /** [batch, heads, sequence, size] to [batch, sequence, heads * size]. */
  joinHeads(x: string, output: string): string {
    return this.op(
      'Reshape',
      [this.op('Transpose', [x], { perm: [0, 2, 1, 3] }), this.int64(0, 0, -1)],
      {},
      output,
    );
  }

  /**
   * Repeats each key or value head: [batch, heads, sequence, size] to [batch, heads * times, sequence, size].
   */
  repeatHeads(x: string, times: number): string {
    if (times === 1) return x;
    const size = (axis: number) => this.dimension(x, axis);
    const wide = this.op('Concat', [size(0), size(1), this.int64(times), size(2), size(3)], { axis: 0 });
    const repeated = this.op('Expand', [this.unsqueeze(x, 2), wide]);
    const joined = this.op('Concat', [size(0), this.int64(-1), size(2), size(3)], { axis: 0 });
    return this.op('Reshape', [repeated, joined]);
  }

  /** Gives a tensor a second name. */
  alias(x: string, output: string | undefined): void {
    if (output) this.op('Identity', [x], {}, output);
  }
}
