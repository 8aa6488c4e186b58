import { FsynError } from '../errors.js';
import type { Fallback } from '../inference/plan.js';
import { remember } from '../lease.js';

/** Runs some of a trial's items, given by number, in one batch: an output per item. */
export type RunItems = (items: readonly number[]) => Promise<readonly Float32Array[]>;

/**
 * How many rows of a loaded graph may be run together. A graph whose outputs do not show it may let its rows
 * reach into each other, so every size is tried before it is used: different items alternate in a batch and
 * are compared with runs of their own.
 */
export class RowBatches {
  readonly #side: 'image' | 'text';
  readonly #half: boolean;
  readonly #verdicts = new Map<number, Promise<string | undefined>>();
  #fallback: Fallback | undefined;

  /**
   * @param side what the rows are, for the fallback
   * @param half whether the graph computes in half precision
   * @param quantizers operators by which the graph rounds activations to integers, which keep rows from
   *   sharing a tensor
   */
  constructor(side: 'image' | 'text', half: boolean, quantizers: readonly string[]) {
    this.#side = side;
    this.#half = half;
    if (quantizers.length > 0) {
      this.#fallBack(`The graph rounds activations to integers (${quantizers.join(', ')})`);
    }
  }

  /** Why rows are run one by one; none as long as nothing is known against running them together. */
  get fallbacks(): readonly Fallback[] {
    return this.#fallback === undefined ? [] : [this.#fallback];
  }

  /**
   * The rows to run together where `most` are allowed and `count` are there.
   *
   * @param items number of different items that `run` knows, >= 2
   */
  async size(most: number, count: number, items: number, run: RunItems): Promise<number> {
    // Powers of two, so that there are few sizes to try.
    const wanted = Math.min(most, 2 ** Math.ceil(Math.log2(Math.max(1, count))));
    for (const size of new Set([Math.min(2, wanted), wanted])) {
      if (size === 1 || this.#fallback !== undefined) continue;
      const problem = await remember(this.#verdicts, size, () => this.#problem(size, items, run));
      if (problem !== undefined) this.#fallBack(`When ${size} rows are run together, ${problem}`);
    }
    return this.#fallback === undefined ? wanted : 1;
  }

  #fallBack(problem: string): void {
    const code = this.#side === 'image' ? 'one-image-per-run' : 'one-row-per-run';
    this.#fallback = { code, reason: `${problem}: they are run one by one.` };
  }

  async #problem(size: number, items: number, run: RunItems): Promise<string | undefined> {
    const alone: Float32Array[] = [];
    for (let item = 0; item < items; item++) alone.push((await run([item]))[0]);
    const order = Array.from({ length: size }, (_, row) => row % items);
    let together: readonly Float32Array[];
    try {
      together = await run(order);
    } catch (error) {
      if (!(error instanceof FsynError) || error.code === 'OUT_OF_MEMORY') throw error;
      return `the run fails (${error.message})`;
    }
    const apart = Math.max(...together.map((row, i) => largestDifference(row, alone[order[i]])));
    const spread = Math.max(...alone.map((row) => largestDifference(row, alone[0])));
    const largest = Math.max(
      ...alone.map((row) => row.reduce((most, value) => Math.max(most, Math.abs(value)), 0)),
    );
    // Float32 results of order 10 agree to 1e-5 whatever the order of sums, half ones to 1e-2.
    const rounding = (this.#half ? 2e-3 : 1e-5) * Math.max(1, largest);
    if (apart <= rounding && apart <= spread / 10) return undefined;
    return `results differ by ${apart.toExponential(1)}`;
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  let worst = 0;
  for (const [i, value] of a.entries()) {
    const apart = Math.abs(value - b[i]);
    if (!(apart <= worst)) worst = apart;
  }
  return worst;
}

/** Presence of some players as two states of a trial have it: all of them, and every second. */
export function trialPresence(players: number, item: number): Uint8Array {
  return Uint8Array.from({ length: players }, (_, p) => (item === 0 ? 1 : p % 2));
}
