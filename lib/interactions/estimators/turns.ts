import { setImmediate as nextTurn } from 'node:timers/promises';

/** Milliseconds of work after which the event loop has its turn. */
const TURN = 20;

/** Shares the event loop with others during long work in JavaScript, and notices an abort there. */
export class Turns {
  readonly #signal: AbortSignal | undefined;
  #begin = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** True once a turn is over: `await next()` then. */
  get over(): boolean {
    return performance.now() - this.#begin >= TURN;
  }

  /** Lets the event loop run; rejects with the signal's reason when it was aborted. */
  async next(): Promise<void> {
    await nextTurn();
    this.#signal?.throwIfAborted();
    this.#begin = performance.now();
  }
}
