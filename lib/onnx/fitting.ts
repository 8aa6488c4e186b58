import type { Feeds } from './types.js';

/** The largest feeds that were found to fit so far: smaller ones need no look. */
export class Fitting {
  #extents: ReadonlyMap<string, readonly number[]> = new Map();
  /** Bytes of a run on these feeds; 0 before any. */
  bytes = 0;

  /** Remembers that these feeds fit, in so many bytes. */
  found(feeds: Feeds, bytes: number): void {
    this.#extents = new Map(Object.entries(feeds).map(([name, { shape }]) => [name, shape]));
    this.bytes = bytes;
  }

  /**
   * Whether feeds of at least these extents were found to fit into the memory; undefined for that of the
   * time.
   */
  covers(feeds: Feeds, memory: number | undefined): boolean {
    if (memory !== undefined && this.bytes > memory) return false;
    return Object.entries(feeds).every(([name, { shape }]) => {
      const extents = this.#extents.get(name);
      return extents?.length === shape.length && shape.every((extent, i) => extent <= extents[i]);
    });
  }
}
