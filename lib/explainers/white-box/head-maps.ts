import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import { gradientName } from '../../onnx/autodiff/backward.js';
import type { NodeOptions } from '../../onnx/graph.js';
import { type OnnxModel, TappedModel, transformerBlocks } from '../../onnx/index.js';
import { prepareModel } from '../../onnx/prepare.js';
import { ancestors } from '../../onnx/queries.js';
import { DataType } from '../../onnx/tensors.js';
import { type Feeds, int64Feed } from '../../onnx/types.js';
import { floats, type LayerMap } from './results.js';

/** Input of an extended graph with `averageHeads`: the number of all tokens of one run, int64 [1]. */
export const MAP_TOKENS = 'map_tokens';

/**
 * Computes attention averaged over heads in the graph, so that little has to leave the runtime: of every
 * block the probabilities, or with `gradients` (of a graph that computes them) the positive part of each
 * times its gradient, in place of both.
 *
 * @returns the names of the maps, [blocks, queries, keys] each, which become outputs
 */
export function averageHeads(model: OnnxModel, attentions: readonly string[], gradients: boolean): string[] {
  const { graph } = model;
  const op = (type: string, input: string[], attributes: NodeOptions['attributes'] = {}): string =>
    graph.addNode(`heads/${type}`, type, input, attributes);
  graph.addInput(MAP_TOKENS, DataType.int64, [1]);
  const [rest, axis] = [graph.addInt64('heads/rest', [-1]), graph.addInt64('heads/axis', [1])];
  const [first, second, last] = [-2, -1, 2 ** 31].map((at) => graph.addInt64('heads/at', [at])) as [
    string,
    string,
    string,
  ];
  const mean = (tensor: string) =>
    model.opset() < 18
      ? op('ReduceMean', [tensor], { axes: [1], keepdims: 0 })
      : op('ReduceMean', [tensor, axis], { keepdims: 0 });
  const maps = attentions.map((attention) => {
    const heads = gradients ? op('Relu', [op('Mul', [attention, gradientName(attention)])]) : attention;
    const extents = op('Shape', [heads]);
    const blocks = op('Div', [MAP_TOKENS, op('Slice', [extents, second, last])]);
    const shape = op('Concat', [blocks, rest, op('Slice', [extents, first, last])], { axis: 0 });
    return mean(op('Reshape', [heads, shape]));
  });
  const taken = new Set(attentions.flatMap((name) => [name, gradientName(name)]));
  graph.proto.output = graph.proto.output.filter(({ name }) => !taken.has(name));
  graph.touch();
  for (const map of maps) graph.addOutput(map);
  return maps;
}

/** What `averageHeads` gives, read from its output. */
export function averagedMap(map: TensorValue, tokens: number): LayerMap {
  const values = floats(map);
  const shape = shapeOf(map, tokens, values.length);
  const read = (row: number, line: Float64Array) => line.set(values.subarray(...span(shape, row, 0)));
  return { ...shape, read };
}

/** A graph that gives its attention averaged over heads. Forward only. */
export class MappedModel {
  readonly #tapped: TappedModel;
  readonly #maps: readonly string[];

  private constructor(tapped: TappedModel, maps: readonly string[]) {
    this.#tapped = tapped;
    this.#maps = maps;
  }

  /**
   * @param output the tensor whose layers are wanted: those that it depends on
   * @param tensors further tensors whose values are wanted
   * @throws FsynError `UNSUPPORTED_MODEL` when no attention is found before `output`; else as
   *   `TappedModel.load`
   */
  static async load(path: string, output: string, tensors: readonly string[]): Promise<MappedModel> {
    const model = await prepareModel(path);
    const before = ancestors(model.graph, [output]);
    const attentions = transformerBlocks(model.graph).flatMap(({ attention }) =>
      before.has(attention) ? [attention] : [],
    );
    if (attentions.length === 0) {
      const message = `${path}: no attention was found before ${JSON.stringify(output)}.`;
      throw new FsynError('UNSUPPORTED_MODEL', message);
    }
    const maps = averageHeads(model, attentions, false);
    return new MappedModel(await TappedModel.load(model, { tensors: [...tensors, ...maps] }), maps);
  }

  async run(
    feeds: Feeds,
    tokens: number,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ values: Readonly<Record<string, TensorValue>>; maps: LayerMap[] }> {
    const { values } = await this.#tapped.run({ ...feeds, [MAP_TOKENS]: int64Feed([tokens]) }, options);
    return { values, maps: this.#maps.map((name) => averagedMap(values[name], tokens)) };
  }

  dispose(): void {
    this.#tapped.dispose();
  }
}

/**
 * The same outside the runtime, where attention and gradient do not exist in one graph. A row is averaged
 * when it is read: maps of all layers at once are larger than a cache, and rows without relevance are never
 * read.
 *
 * @param attention [blocks, heads, q, n] or [blocks * heads, q, n], of the last q queries
 * @param gradient of the same shape
 * @param tokens number of all tokens
 */
export function headMean(attention: TensorValue, gradient: TensorValue, tokens: number): LayerMap {
  const [values, slopes] = [floats(attention), floats(gradient)];
  const shape = shapeOf(attention, tokens, values.length);
  const { heads } = shape;
  const read = (row: number, line: Float64Array) => {
    line.fill(0);
    for (let head = 0; head < heads; head++) {
      const [start] = span(shape, row, head);
      addPositiveProducts(line, values, slopes, start);
    }
    for (let j = 0; j < line.length; j++) line[j] = line[j] / heads;
  };
  return { ...shape, read };
}

interface MapShape {
  readonly blocks: number;
  readonly heads: number;
  readonly tokens: number;
  /** Rows that there are of every map, the last ones. */
  readonly rows: number;
}

function shapeOf({ shape }: TensorValue, tokens: number, size: number): MapShape {
  const [rows, n] = shape.slice(-2) as [number, number];
  const blocks = tokens / n;
  const heads = size / (rows * n * blocks);
  if (shape.length < 3 || rows > n || !Number.isInteger(blocks) || !Number.isInteger(heads)) {
    const message = `An attention tensor of shape [${shape.join(', ')}] does not fit ${tokens} tokens.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }
  return { blocks, heads, tokens: n, rows };
}

/** Where a row of one head lies. */
function span({ heads, tokens: n, rows }: MapShape, row: number, head: number): [number, number] {
  const within = (row % n) - (n - rows);
  if (within < 0) {
    const message = `Row ${row % n} of an attention map is needed of which only the last ${rows} are computed.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }
  const start = ((Math.floor(row / n) * heads + head) * rows + within) * n;
  return [start, start + n];
}

// Millions of entries: a loop without calls or choices, over arrays of one kind each.
function addPositiveProducts(
  sums: Float64Array,
  values: Float32Array,
  slopes: Float32Array,
  start: number,
): void {
  for (let i = 0; i < sums.length; i++) {
    const product = values[start + i] * slopes[start + i];
    if (product > 0) sums[i] = sums[i] + product;
  }
}
