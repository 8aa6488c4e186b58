import { FsynError } from '../../errors.js';
import type { DecoderWiring } from '../../inference/program.js';
import type { TensorInfo, TensorValue } from '../../inference/session.js';
import { NativeTensor, type TensorArray, toNdArray } from '../../inference/tensor.js';
import { cacheAfter, EXPORTED, isCache } from '../../onnx/exported.js';
import {
  type Graph,
  rejectUnknownInputs,
  requireInput,
  requireOutput,
  requireTensor,
} from '../files/contract.js';
import { floatFeed, floatValues, integerFeed } from '../files/feeds.js';
import type { ModelFeed } from '../types.js';

/** Sequences of one length for the decoder. */
export interface DecoderBatch {
  readonly batch: number;
  readonly length: number;
  /** [batch, length, hidden] */
  readonly embeds: Float32Array;
  /** [batch, past + length], 0 where a token is out of attention. */
  readonly mask: Int32Array;
  /** [axes, length]: positions, the same for every sequence of the batch. */
  readonly positions: Int32Array;
  /** How many of the last rows of logits are wanted. */
  readonly rows: number;
}

export interface DecoderResult {
  /** [batch, rows, vocabulary] */
  readonly logits: Float32Array;
  readonly vocabulary: number;
  /** The key/value cache after this run, by name of the input that takes it. */
  readonly cache: Readonly<Record<string, NativeTensor>>;
}

const { positions: positionInput, keptLogits: keepInput, readsCache: branchInput } = EXPORTED;
/** Input that our own edit adds (file.ts): the rows whose logits are wanted, counted from the end. */
export const rowsInput = 'fsyn_logit_rows';

/** The language model of a model directory, driven by its own inputs and outputs. */
export class DecoderGraph {
  readonly graph: Graph;
  readonly hasPositions: boolean;
  /** 1, or 3 where position_ids is [3, batch, sequence] (M-RoPE). */
  readonly positionAxes: number;
  readonly #added: readonly string[];
  readonly #embeds: TensorInfo;
  readonly #mask: TensorInfo;
  readonly #caches: readonly { readonly input: TensorInfo; readonly output: string }[];

  /** @param added names of inputs that the file does not have, but our edit of it */
  constructor(graph: Graph, added: readonly string[] = []) {
    this.graph = graph;
    this.#added = added;
    this.#embeds = requireInput(graph, EXPORTED.embeddings);
    requireTensor(graph, this.#embeds, 3, ['float32', 'float16']);
    this.#mask = requireInput(graph, EXPORTED.mask);
    requireTensor(graph, this.#mask, 2, ['int64', 'int32', 'bool']);
    requireTensor(graph, requireOutput(graph, EXPORTED.logits), 3, ['float32', 'float16']);
    const positions = graph.session.inputs.find((input) => input.name === positionInput);
    this.hasPositions = positions !== undefined;
    this.positionAxes = positions?.shape.length === 3 ? 3 : 1;
    if (positions !== undefined) {
      requireTensor(graph, positions, positions.shape.length === 3 ? 3 : 2, ['int64', 'int32']);
    }
    this.#caches = cacheTensors(graph);
    const known = new Set<string>([
      EXPORTED.embeddings,
      EXPORTED.mask,
      positionInput,
      keepInput,
      rowsInput,
      branchInput,
      ...this.#caches.map(({ input }) => input.name),
    ]);
    rejectUnknownInputs(graph, (name) => known.has(name));
  }

  /** The names of its inputs and outputs, for evaluators that run the session themselves. */
  get wiring(): DecoderWiring {
    return {
      embeds: this.#embeds.name,
      mask: this.#mask.name,
      ...(this.hasPositions ? { positions: positionInput } : {}),
      ...(this.#has(keepInput) ? { keep: keepInput } : {}),
      ...(this.#has(rowsInput) ? { rows: rowsInput } : {}),
      ...(this.#has(branchInput) ? { branch: branchInput } : {}),
      logits: EXPORTED.logits,
      caches: this.#caches.map(({ input, output }) => ({ input: input.name, output })),
    };
  }

  #has(name: string): boolean {
    return this.graph.session.inputs.some((input) => input.name === name);
  }

  #input(name: string): TensorInfo {
    return requireInput(this.graph, name);
  }

  /**
   * Runs the decoder and returns the last rows of its logits.
   *
   * @param cache the cache of an earlier run of the same batch, or undefined to start
   * @param keepCache whether the result's cache is wanted
   */
  async run(
    batch: DecoderBatch,
    cache: Readonly<Record<string, NativeTensor>> | undefined,
    keepCache: boolean,
    signal?: AbortSignal,
  ): Promise<DecoderResult> {
    const feeds: Record<string, TensorValue> = {
      ...this.controlFeeds(batch, cache !== undefined),
      [EXPORTED.embeddings]: floatFeed(this.#embeds, batch.embeds, [
        batch.batch,
        batch.length,
        batch.embeds.length / (batch.batch * batch.length),
      ]),
      ...cache,
    };
    const presents = keepCache ? this.#caches.map(({ output }) => output) : [];
    const results = await this.graph.session.run(feeds, {
      outputs: [EXPORTED.logits, ...presents],
      keep: presents,
      signal,
    });
    const next: Record<string, NativeTensor> = {};
    if (keepCache) {
      for (const { input, output } of this.#caches) {
        const value = results[output];
        if (value instanceof NativeTensor) next[input.name] = value;
      }
    }
    const { values, shape } = floatValues(EXPORTED.logits, results[EXPORTED.logits]);
    return { ...lastRows(values, shape, batch.rows), cache: next };
  }

  /** Every input but the embeddings: mask, positions, empty cache where none is given. */
  controlFeeds(batch: Omit<DecoderBatch, 'embeds'>, hasCache: boolean): Record<string, TensorArray> {
    const feeds: Record<string, TensorArray> = {
      attention_mask: integerFeed(this.#mask, batch.mask, [batch.batch, batch.mask.length / batch.batch]),
    };
    if (this.hasPositions) feeds[positionInput] = this.#positions(batch);
    if (this.#has(keepInput)) {
      const info = this.#input(keepInput);
      feeds[keepInput] = integerFeed(info, Int32Array.of(batch.rows), info.shape.length === 0 ? [] : [1]);
    }
    if (this.#has(rowsInput)) {
      const rows = Int32Array.from({ length: batch.rows }, (_, i) => i - batch.rows);
      feeds[rowsInput] = integerFeed(this.#input(rowsInput), rows, [batch.rows]);
    }
    if (this.#has(branchInput)) {
      feeds[branchInput] = integerFeed(this.#input(branchInput), Int32Array.of(hasCache ? 1 : 0), [1]);
    }
    if (!hasCache) for (const { input } of this.#caches) feeds[input.name] = emptyCache(input, batch.batch);
    return feeds;
  }

  /** controlFeeds for one sequence, in the types of the contract with white-box explainers. */
  whiteBoxFeeds(mask: Int32Array, positions: Int32Array): Record<string, ModelFeed> {
    const feeds = this.controlFeeds(
      { batch: 1, length: mask.length, mask, positions, rows: mask.length },
      false,
    );
    // Explainers read the file itself.
    for (const name of this.#added) delete feeds[name];
    return feeds as Record<string, ModelFeed>;
  }

  /** Positions of the batch: [batch, length] or [axes, batch, length]. */
  #positions(batch: Omit<DecoderBatch, 'embeds'>): TensorArray {
    const { length, positions } = batch;
    const info = this.#input(positionInput);
    const axes = this.positionAxes;
    const given = positions.length / length;
    const values = new Int32Array(axes * batch.batch * length);
    for (let axis = 0; axis < axes; axis++) {
      const from = axis < given ? axis : 0;
      const row = positions.subarray(from * length, (from + 1) * length);
      for (let b = 0; b < batch.batch; b++) values.set(row, (axis * batch.batch + b) * length);
    }
    const shape = info.shape.length === 3 ? [axes, batch.batch, length] : [batch.batch, length];
    return integerFeed(info, values, shape);
  }
}

/** Pairs `past_key_values.N.key` with `present.N.key`, which all exports of the ecosystem name so. */
function cacheTensors(graph: Graph): { input: TensorInfo; output: string }[] {
  const inputs = graph.session.inputs.filter(({ name }) => isCache(name));
  if (inputs.length === 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected inputs past_key_values.N.key and .value in ${JSON.stringify(graph.path)}; it has: ` +
        `${graph.session.inputs.map(({ name }) => name).join(', ')}.`,
    );
  }
  return inputs.map((input) => {
    requireTensor(graph, input, 4, ['float32', 'float16']);
    const output = cacheAfter(input.name);
    requireOutput(graph, output);
    return { input, output };
  });
}

/** A cache of no tokens: the batch is the first extent, the sequence the open one of the others. */
function emptyCache(info: TensorInfo, batch: number): TensorArray {
  const shape = info.shape.map((extent, axis) => {
    if (axis === 0) return batch;
    return typeof extent === 'number' ? extent : 0;
  });
  const data = info.elementType === 'float16' ? new Uint16Array(0) : new Float32Array(0);
  return toNdArray(data, shape);
}

function lastRows(
  values: Float32Array,
  shape: readonly number[],
  rows: number,
): { logits: Float32Array; vocabulary: number } {
  const [batch, length, vocabulary] = shape as [number, number, number];
  if (length < rows) {
    throw new FsynError('MODEL_CONTRACT', `Expected at least ${rows} rows of logits but received ${length}.`);
  }
  if (length === rows) return { logits: values, vocabulary };
  const logits = new Float32Array(batch * rows * vocabulary);
  for (let b = 0; b < batch; b++) {
    const from = (b * length + length - rows) * vocabulary;
    logits.set(values.subarray(from, from + rows * vocabulary), b * rows * vocabulary);
  }
  return { logits, vocabulary };
}
