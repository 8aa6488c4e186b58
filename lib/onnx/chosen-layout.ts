import { FsynError } from '../errors.js';
import { Leases } from '../lease.js';
import type { Layout, Layouts } from './layouts.js';
import type { Feeds } from './types.js';

/**
 * The sessions of one layout at a time: of that which every run chooses anew from its sizes and its memory.
 */
export class ChosenLayout<T> {
  readonly #source: string;
  readonly #layouts: Layouts;
  readonly #load: (layout: Layout) => Promise<T>;
  readonly #sessions: Leases<Layout, T>;
  #disposed = false;

  /** @param source the model's name in messages */
  constructor(
    source: string,
    layouts: Layouts,
    load: (layout: Layout) => Promise<T>,
    close: (sessions: T) => void,
  ) {
    this.#source = source;
    this.#layouts = layouts;
    this.#load = load;
    this.#sessions = new Leases(close);
  }

  /**
   * Works with the sessions that suit these feeds, and with the feeds that the graph reads. Sessions of
   * another layout are closed behind their last user.
   *
   * @param memory bytes that the work may take; undefined for what is available
   * @throws FsynError `OUT_OF_MEMORY` before any work; `DISPOSED`
   */
  async use<R>(
    feeds: Feeds,
    options: { readonly memory: number | undefined; readonly signal: AbortSignal | undefined },
    work: (sessions: T, known: Feeds) => Promise<R>,
  ): Promise<R> {
    if (this.#disposed) throw new FsynError('DISPOSED', `The model of ${this.#source} has been disposed.`);
    try {
      const [open] = this.#sessions.keys;
      const layout = await this.#layouts.choose(feeds, options.memory, open, options.signal);
      const known = this.#layouts.known(feeds);
      if (this.#sessions.keys[0] !== layout) void this.#sessions.retire();
      const load = () => this.#load(layout);
      return await this.#sessions.use(layout, load, (sessions) => work(sessions, known));
    } finally {
      // A run that was under way at that time still ends well.
      if (this.#disposed) void this.#sessions.retire();
    }
  }

  /** Closes the sessions behind their last user; there is no work afterwards. */
  dispose(): void {
    this.#disposed = true;
    void this.#sessions.retire();
  }
}
