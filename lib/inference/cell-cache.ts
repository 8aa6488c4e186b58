import type { CellTable } from '../cells/table.js';

/**
 * Scores of one sample's cells, keyed by what the cells are (which players are present), not by who asked.
 * Bounded: when full, the entry used longest ago makes room.
 */
export class CellCache {
  readonly #capacity: number;
  readonly #entries = new Map<string, Float64Array>();
  hits = 0;
  misses = 0;

  /**
   * @param bytes memory for keys and scores together
   * @param players image and text players of the sample
   * @param tokens scores per cell
   */
  constructor(bytes: number, players: number, tokens: number) {
    // A map entry, a string header and an array header beside the contents.
    this.#capacity = Math.floor(bytes / (200 + players / 8 + tokens * 8));
  }

  get size(): number {
    return this.#entries.size;
  }

  get capacity(): number {
    return this.#capacity;
  }

  get(key: string): Float64Array | undefined {
    const found = this.#entries.get(key);
    if (found === undefined) {
      this.misses++;
      return undefined;
    }
    this.hits++;
    this.#entries.delete(key);
    this.#entries.set(key, found);
    return found;
  }

  /** Looks without counting and without marking the entry as used. */
  peek(key: string): Float64Array | undefined {
    return this.#entries.get(key);
  }

  set(key: string, scores: Float64Array): void {
    this.#entries.delete(key);
    this.#entries.set(key, scores);
    if (this.#entries.size > this.#capacity) {
      this.#entries.delete(this.#entries.keys().next().value!);
    }
  }
}

/** A key per cell: the presence bits of its image and its text state. */
export function cellKeys(cells: CellTable): string[] {
  const images = stateKeys(cells.imageMasks(), cells.imagePlayers);
  const texts = stateKeys(cells.textMasks(), cells.textPlayers);
  return Array.from(
    { length: cells.cellCount },
    (_, cell) => `${images[cells.imageOf(cell)]}|${texts[cells.textOf(cell)]}`,
  );
}

/** A key per state of a mask table [states, players]: its presence bits. */
export function stateKeys(masks: Uint8Array, players: number): string[] {
  const keys: string[] = [];
  for (let begin = 0; begin < masks.length; begin += players) {
    const bytes = Buffer.alloc(Math.ceil(players / 8));
    for (let p = 0; p < players; p++) if (masks[begin + p]) bytes[p >> 3] |= 1 << (p & 7);
    keys.push(bytes.toString('latin1'));
  }
  return keys;
}
