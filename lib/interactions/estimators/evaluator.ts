import { CoalitionBatch, type EvaluationOptions, evaluateBatch, type ValueFunction } from '../coalitions.js';
import type { Spending } from '../provenance.js';

/** Asks a value function for coalitions, in batches, and keeps the bill. */
export class Evaluator {
  readonly #value: ValueFunction;
  readonly #options: EvaluationOptions;
  readonly #sides: Uint8Array | null;
  readonly #expected: number;
  readonly #coalitions = new Set<string>();
  readonly #imageStates = new Set<string>();
  #evaluations = 0;
  #failure: unknown;

  /** @param expected evaluations to come in all, for progress */
  constructor(value: ValueFunction, sides: Uint8Array | null, expected: number, options: EvaluationOptions) {
    this.#value = value;
    this.#sides = sides;
    this.#expected = expected;
    this.#options = options;
  }

  async values(coalitions: CoalitionBatch): Promise<Float64Array> {
    const values = new Float64Array(coalitions.length);
    const { batchSize, signal, onProgress } = this.#options;
    for (let begin = 0; begin < values.length; begin += batchSize) {
      const end = Math.min(begin + batchSize, values.length);
      const batch = coalitions.slice(begin, end);
      // A copy: the value function may keep or change its batch.
      const own = new CoalitionBatch(batch.players, batch.words.slice());
      const answer = await evaluateBatch(this.#value, own, signal).catch((error) => {
        this.#failure = error;
        throw error;
      });
      values.set(answer, begin);
      this.#evaluations += end - begin;
      onProgress?.(this.#evaluations, Math.max(this.#expected, this.#evaluations));
    }
    this.#remember(coalitions);
    return values;
  }

  /** True for what the value function threw, which is not ours to word. */
  failedWith(error: unknown): boolean {
    return this.#failure !== undefined && this.#failure === error;
  }

  get spent(): Spending {
    return {
      evaluations: this.#evaluations,
      distinctCoalitions: this.#coalitions.size,
      imageStates: this.#sides ? this.#imageStates.size : null,
    };
  }

  /** The bill of coalitions whose values were there already. */
  spentOn(coalitions: CoalitionBatch): Spending {
    this.#evaluations += coalitions.length;
    this.#remember(coalitions);
    return this.spent;
  }

  #remember(coalitions: CoalitionBatch): void {
    const imageMask = this.#sides ? sideMask(this.#sides, coalitions.stride) : null;
    for (let i = 0; i < coalitions.length; i++) {
      const words = coalitions.words.subarray(i * coalitions.stride, (i + 1) * coalitions.stride);
      this.#coalitions.add(words.join());
      if (imageMask) this.#imageStates.add(words.map((word, w) => word & imageMask[w]).join());
    }
  }
}

function sideMask(sides: Uint8Array, stride: number): Uint32Array {
  const mask = new Uint32Array(stride);
  for (const [player, side] of sides.entries()) if (side === 1) mask[player >>> 5] |= 1 << (player & 31);
  return mask;
}

/** Builds a batch coalition by coalition, each distinct one once. */
export class CoalitionList {
  readonly #players: number;
  readonly #index = new Map<string, number>();
  readonly #words: number[] = [];

  constructor(players: number) {
    this.#players = players;
  }

  get length(): number {
    return this.#index.size;
  }

  /** Number of the coalition of these words, added when it is new. */
  add(words: Uint32Array): number {
    const key = words.join();
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    const index = this.#index.size;
    this.#index.set(key, index);
    for (const word of words) this.#words.push(word);
    return index;
  }

  has(words: Uint32Array): boolean {
    return this.#index.has(words.join());
  }

  toBatch(): CoalitionBatch {
    return new CoalitionBatch(this.#players, Uint32Array.from(this.#words));
  }
}
