import type ndarray from 'ndarray';
import { checkInteger } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';

/** Coalitions as bit sets: player p of coalition i is bit p % 32 of words[i * stride + floor(p / 32)]. */
export class CoalitionBatch {
  readonly players: number;
  /** 32-bit words per coalition. */
  readonly stride: number;
  readonly words: Uint32Array;

  constructor(players: number, words: Uint32Array) {
    this.players = players;
    this.stride = Math.ceil(players / 32);
    this.words = words;
  }

  /**
   * Coalitions from presence, as `toMasks` gives it.
   *
   * @param masks 0 or 1 (or false, true) per player: shape [coalitions, players], row-major
   * @throws FsynError INVALID_ARGUMENT for another length and for other values
   */
  static fromMasks(players: number, masks: ArrayLike<number | boolean>): CoalitionBatch {
    checkInteger('players', players, 1);
    if (masks === null || typeof masks !== 'object' || masks.length % players !== 0)
      throw invalidArgument('masks', `${players} numbers per coalition`, masks?.length ?? masks);
    const stride = Math.ceil(players / 32);
    const words = new Uint32Array((masks.length / players) * stride);
    for (let i = 0; i < masks.length; i++) {
      const present = Number(masks[i]);
      if (present !== 0 && present !== 1) throw invalidArgument(`masks[${i}]`, '0 or 1', masks[i]);
      const player = i % players;
      if (present) words[Math.floor(i / players) * stride + (player >>> 5)] |= 1 << (player & 31);
    }
    return new CoalitionBatch(players, words);
  }

  /** Number of coalitions. */
  get length(): number {
    return this.words.length / this.stride;
  }

  has(i: number, player: number): boolean {
    return ((this.words[i * this.stride + (player >>> 5)] >>> (player & 31)) & 1) === 1;
  }

  /** Bit mask of coalition i as a number; for at most 32 players. */
  mask(i: number): number {
    if (this.stride !== 1)
      throw new FsynError('INVALID_ARGUMENT', 'A bit mask as a number needs at most 32 players.');
    return this.words[i];
  }

  /** Presence of every player, one byte (0 or 1) each: shape [length, players], row-major. */
  toMasks(): Uint8Array {
    const masks = new Uint8Array(this.length * this.players);
    for (let i = 0; i < this.length; i++) {
      for (let p = 0; p < this.players; p++) masks[i * this.players + p] = this.has(i, p) ? 1 : 0;
    }
    return masks;
  }

  /** A copy of some coalitions. */
  pick(rows: readonly number[]): CoalitionBatch {
    const words = new Uint32Array(rows.length * this.stride);
    for (const [i, row] of rows.entries()) {
      for (let w = 0; w < this.stride; w++) words[i * this.stride + w] = this.words[row * this.stride + w];
    }
    return new CoalitionBatch(this.players, words);
  }

  /** Coalitions [begin, end) as a view. */
  slice(begin: number, end: number): CoalitionBatch {
    return new CoalitionBatch(this.players, this.words.subarray(begin * this.stride, end * this.stride));
  }
}

/** Values of a batch: typed array or array of numbers, or an ndarray of shape [coalitions]. */
export type BatchValues = ArrayLike<number> | ndarray.NdArray<Float64Array> | ndarray.NdArray<Float32Array>;

/**
 * A game given by a function of batches of coalitions: one finite value per coalition, in order.
 * It should stop early when the signal aborts; if it does not, its late answer is ignored.
 */
export type ValueFunction = (
  coalitions: CoalitionBatch,
  signal: AbortSignal | undefined,
) => BatchValues | Promise<BatchValues>;

/** How a value function is asked. */
export interface EvaluationOptions {
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}

/** Refuses what cannot be asked, before any work. */
export function checkEvaluation(
  value: ValueFunction,
  { batchSize, signal, onProgress }: EvaluationOptions,
): void {
  if (typeof value !== 'function')
    throw invalidArgument('value', 'a function of batches of coalitions', value);
  checkInteger('batchSize', batchSize, 1);
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalidArgument('signal', 'an AbortSignal', signal);
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', onProgress);
}

/**
 * Calls a value function once and checks what it returns; rejects with the signal's reason even if it never
 * settles.
 */
export async function evaluateBatch(
  value: ValueFunction,
  batch: CoalitionBatch,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  signal?.throwIfAborted();
  const answer = value(batch, signal);
  const values = await (answer instanceof Promise ? orAborted(answer, signal) : answer);
  signal?.throwIfAborted();
  return toNumbers(values, batch.length);
}

function toNumbers(values: BatchValues, count: number): Float64Array {
  const view = values as ndarray.NdArray<Float64Array> | null | undefined;
  const grid = Array.isArray(view?.shape) && typeof view.get === 'function';
  const length = grid
    ? view.dimension === 1
      ? view.size
      : view.shape
    : (values as ArrayLike<number>)?.length;
  if (values === null || typeof values !== 'object' || length !== count) {
    const received = values && typeof values === 'object' && typeof length === 'number' ? length : values;
    throw invalidArgument('the value function', `to return ${count} values, one per coalition,`, received);
  }
  const copy = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const value: unknown = grid ? view.get(i) : (values as ArrayLike<number>)[i];
    // Not converted: null would become 0.
    if (typeof value !== 'number' || !Number.isFinite(value))
      throw invalidArgument(`value ${i} of the value function`, 'a finite number', value);
    copy[i] = value;
  }
  return copy;
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
