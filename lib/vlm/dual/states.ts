import { formatBytes } from '../../bytes.js';
import { FsynError } from '../../errors.js';
import { stateKeys } from '../../inference/cell-cache.js';
import type { Fallback } from '../../inference/plan.js';
import type { MatrixCosts } from '../files/costs.js';
import { type RowBatches, trialPresence } from '../row-trial.js';

/** Encodes states of one modality, given one byte per player each, into embeddings of length 1. */
export type EncodeStates = (
  masks: readonly Uint8Array[],
  signal: AbortSignal | undefined,
) => Promise<Float32Array[]>;

export interface StateEncoderOptions {
  readonly side: 'image' | 'text';
  readonly players: number;
  readonly costs: MatrixCosts;
  /** Tokens that go through the tower per state. */
  readonly tokens: number;
  /** Bytes of a state's input. */
  readonly inputBytes: number;
  /** The graph's own batch where it is fixed. */
  readonly fixedBatch: number | undefined;
  readonly memory: number;
  readonly batches: RowBatches;
  readonly encode: EncodeStates;
}

const largestBatch = 32;
/** Bytes for remembered embeddings of one sample and side. */
const cacheBytes = 32 * 2 ** 20;

/** One side of a dual encoder on one sample: every state is encoded once and remembered. */
export class StateEncoder {
  readonly #most: number;
  readonly #batches: RowBatches;
  /** Estimated bytes and floating-point operations of one state. */
  readonly stateBytes: number;
  readonly stateFlops: number;
  readonly #players: number;
  readonly #encode: EncodeStates;
  readonly #known = new Map<string, Float32Array>();

  /**
   * @throws FsynError BUDGET where one state does not fit into `memory` bytes; UNSUPPORTED_MODEL for a fixed
   * batch above 1
   */
  constructor(options: StateEncoderOptions) {
    const { side, players, costs, tokens, inputBytes, fixedBatch, memory, batches, encode } = options;
    this.stateBytes = inputBytes + passBytes(costs, tokens);
    this.stateFlops = passFlops(costs, tokens);
    const fitting = Math.floor(memory / this.stateBytes);
    if (fitting < 1) {
      throw new FsynError(
        'BUDGET',
        `A memory budget of ${formatBytes(memory)} is too small: one ${side} state needs about ` +
          `${formatBytes(this.stateBytes)} (${this.stateBytes} bytes) beside the model's weights.`,
      );
    }
    if (fixedBatch !== undefined && fixedBatch !== 1) {
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        `The ${side} tower is exported for batches of ${fixedBatch} only; export it with an open batch axis or for one.`,
      );
    }
    this.#most = fixedBatch ?? Math.min(largestBatch, fitting);
    this.#batches = batches;
    this.#players = players;
    this.#encode = encode;
  }

  /** Why states are encoded one by one, where they are. */
  get fallbacks(): readonly Fallback[] {
    return this.#batches.fallbacks;
  }

  /** How many of `count` states are encoded together; sizes that were not tried yet are tried. */
  batch(count: number, signal?: AbortSignal): Promise<number> {
    return this.#batches.size(this.#most, count, 2, (items) =>
      this.#encode(
        items.map((item) => trialPresence(this.#players, item)),
        signal,
      ),
    );
  }

  /** Whether each state of a mask table [states, players] is remembered. */
  known(masks: Uint8Array): boolean[] {
    return stateKeys(masks, this.#players).map((key) => this.#known.has(key));
  }

  /**
   * The embedding of each wanted state of a mask table, by index.
   *
   * @param onState called after every batch with the number of states encoded so far
   */
  async embeddings(
    masks: Uint8Array,
    wanted: readonly number[],
    signal: AbortSignal | undefined,
    onState: (done: number) => void,
  ): Promise<Map<number, Float32Array>> {
    const keys = stateKeys(masks, this.#players);
    const found = new Map<number, Float32Array>();
    const missing: number[] = [];
    for (const state of wanted) {
      const known = this.#known.get(keys[state]);
      if (known === undefined) missing.push(state);
      else found.set(state, known);
    }
    const batch = await this.batch(missing.length, signal);
    for (let from = 0; from < missing.length; from += batch) {
      signal?.throwIfAborted();
      const states = missing.slice(from, from + batch);
      const rows = states.map((state) => masks.subarray(state * this.#players, (state + 1) * this.#players));
      const encoded = await this.#encode(rows, signal);
      for (const [i, state] of states.entries()) {
        const embedding = encoded[i];
        found.set(state, embedding);
        this.#remember(keys[state], embedding);
      }
      onState(from + states.length);
    }
    return found;
  }

  /** Bounded: when full, the state encoded longest ago makes room. */
  #remember(key: string, embedding: Float32Array): void {
    this.#known.set(key, embedding);
    const entryBytes = 200 + this.#players / 8 + embedding.byteLength;
    if (this.#known.size * entryBytes <= cacheBytes) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }
}

/** Two operations per weight and token, four per pair of tokens, layer and channel. */
function passFlops({ weights, head, convolution, attentionLayers, width }: MatrixCosts, tokens: number) {
  return 2 * tokens * (weights + head + convolution) + 4 * attentionLayers * width * tokens * tokens;
}

/** About two dozen activations of the tower's width per token, and the scores of one layer's heads twice. */
function passBytes({ width }: MatrixCosts, tokens: number): number {
  return 4 * (24 * tokens * width + 2 * Math.ceil(width / 64) * tokens * tokens);
}
