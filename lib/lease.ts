/** What `remember` keeps results in: a `Map` or a `WeakMap` of promises. */
interface Memory<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): unknown;
  delete(key: K): boolean;
}

/**
 * What was found under a key, found at the first use. A failure is told to those who wait for it and then
 * forgotten, so that the next use tries again: memory may be free by then, and an abort was one caller's
 * wish.
 */
export function remember<K, T>(known: Memory<K, Promise<T>>, key: K, find: () => Promise<T>): Promise<T> {
  const before = known.get(key);
  if (before) return before;
  const finding = find();
  known.set(key, finding);
  finding.catch(() => {
    if (known.get(key) === finding) known.delete(key);
  });
  return finding;
}

/** One thing found at its first use, failures forgotten. */
export class Once<T> {
  readonly #known = new Map<'it', Promise<T>>();

  get(find: () => Promise<T>): Promise<T> {
    return remember(this.#known, 'it', find);
  }
}

/** Something that several use at the same time: once retired, it is closed behind the last of them. */
export class Lease<T> {
  readonly value: T | Promise<T>;
  readonly #close: (value: T) => unknown;
  #users = 0;
  #retired = false;
  #closed = false;

  /** @param value what is used, or its opening; an opening that fails leaves nothing to close */
  constructor(value: T | Promise<T>, close: (value: T) => unknown) {
    this.value = value;
    this.#close = close;
  }

  /** Keeps it open until the hold is disposed. */
  hold(): Disposable {
    let held = true;
    this.#users++;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#users--;
        void this.#closeUnused();
      },
    };
  }

  /** Works with it once it is open; it stays open at least until the work is done. */
  async use<R>(work: (value: T) => R | Promise<R>): Promise<R> {
    using _ = this.hold();
    return await work(await this.value);
  }

  /**
   * Resolves when it is closed; at once where somebody still uses it. An error of closing is nobody's: it is
   * dropped.
   */
  async retire(): Promise<void> {
    if (this.#retired) return;
    this.#retired = true;
    await this.#closeUnused();
  }

  #closeUnused(): unknown {
    if (!this.#retired || this.#users > 0 || this.#closed) return undefined;
    this.#closed = true;
    if (this.value instanceof Promise) return this.value.then(this.#close).catch(() => undefined);
    return this.#close(this.value);
  }
}

/**
 * Things by key, each opened at its first use and shared from then on; an opening that failed is forgotten.
 */
export class Leases<K, T> {
  readonly #open = new Map<K, Lease<T>>();
  readonly #close: (value: T) => unknown;

  constructor(close: (value: T) => unknown) {
    this.#close = close;
  }

  /** Keys of what is open or being opened, oldest first. */
  get keys(): readonly K[] {
    return [...this.#open.keys()];
  }

  use<R>(key: K, open: () => Promise<T>, work: (value: T) => R | Promise<R>): Promise<R> {
    return this.#opened(key, open).use(work);
  }

  /**
   * Closes all of them, those in use behind their last user; resolves when those that nobody uses are closed.
   */
  async retire(): Promise<void> {
    const leases = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(leases.map((lease) => lease.retire()));
  }

  #opened(key: K, open: () => Promise<T>): Lease<T> {
    const known = this.#open.get(key);
    if (known) return known;
    const opening = open();
    const lease = new Lease(opening, this.#close);
    this.#open.set(key, lease);
    opening.catch(() => {
      if (this.#open.get(key) === lease) this.#open.delete(key);
    });
    return lease;
  }
}
