import { checkInteger } from '../checks.js';
import { invalidArgument } from '../errors.js';

/**
 * The cells that metrics and explainers want from one sample, without repeats.
 *
 * A cell is a pair (image state, text state); a state says for every player whether it is present.
 * Requests are data: asking twice for the same state or cell gives the same index, which is what makes
 * sharing possible.
 */
export class CellTable {
  readonly imagePlayers: number;
  readonly textPlayers: number;
  readonly #image: StateTable;
  readonly #text: StateTable;
  readonly #index = new Map<number, number>();
  readonly #pairs: number[] = [];

  /**
   * @param imagePlayers number of image players, >= 1
   * @param textPlayers number of text players, >= 1
   */
  constructor(imagePlayers: number, textPlayers: number) {
    this.imagePlayers = imagePlayers;
    this.textPlayers = textPlayers;
    this.#image = new StateTable('imageState', imagePlayers);
    this.#text = new StateTable('textState', textPlayers);
  }

  /** Index of an image state; `present[p]` is truthy when image player p is present. Shape [imagePlayers]. */
  imageState(present: ArrayLike<number | boolean>): number {
    return this.#image.add(present);
  }

  /** Index of a text state; `present[p]` is truthy when text player p is present. Shape [textPlayers]. */
  textState(present: ArrayLike<number | boolean>): number {
    return this.#text.add(present);
  }

  /** Index of the cell (image state, text state), both given by index. */
  cell(imageState: number, textState: number): number {
    this.#image.check(imageState);
    this.#text.check(textState);
    // Exact while both indices stay below 2^26, far above any sample's number of states.
    const key = imageState * 2 ** 26 + textState;
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    const index = this.#pairs.length / 2;
    this.#pairs.push(imageState, textState);
    this.#index.set(key, index);
    return index;
  }

  /** Index of the cell that `cell` is in another table over the same players. */
  copyCell(other: CellTable, cell: number): number {
    return this.cell(
      this.imageState(other.imagePresence(other.imageOf(cell))),
      this.textState(other.textPresence(other.textOf(cell))),
    );
  }

  get cellCount(): number {
    return this.#pairs.length / 2;
  }

  get imageStateCount(): number {
    return this.#image.count;
  }

  get textStateCount(): number {
    return this.#text.count;
  }

  /** Index of a cell's image state, of its text state. */
  imageOf(cell: number): number {
    return this.#pairs[2 * cell];
  }

  textOf(cell: number): number {
    return this.#pairs[2 * cell + 1];
  }

  /** The wanted cells (all without a list) by image state, both in order of first appearance. */
  byImage(wanted: Iterable<number> = Array(this.cellCount).keys()): Map<number, number[]> {
    const groups = new Map<number, number[]>();
    for (const cell of wanted) {
      const group = groups.get(this.imageOf(cell));
      if (group === undefined) groups.set(this.imageOf(cell), [cell]);
      else group.push(cell);
    }
    return groups;
  }

  /** Presence of the players of one state, one byte (0 or 1) each; shared, not to be changed. */
  imagePresence(state: number): Uint8Array {
    return this.#image.row(state);
  }

  textPresence(state: number): Uint8Array {
    return this.#text.row(state);
  }

  /** @throws FsynError INVALID_ARGUMENT unless the table is over these numbers of players */
  requirePlayers(image: number, text: number): void {
    if (this.imagePlayers === image && this.textPlayers === text) return;
    throw invalidArgument(
      'cells',
      `a table over ${image} image and ${text} text players`,
      `a table over ${this.imagePlayers} and ${this.textPlayers}`,
    );
  }

  /**
   * The cells in order of first request: [imageState 0, textState 0, imageState 1, ...], length 2 *
   * cellCount.
   */
  pairs(): Int32Array {
    return Int32Array.from(this.#pairs);
  }

  /**
   * Presence of every image player, one byte (0 or 1) each: shape [imageStateCount, imagePlayers], row-major.
   */
  imageMasks(): Uint8Array {
    return this.#image.masks();
  }

  /**
   * Presence of every text player, one byte (0 or 1) each: shape [textStateCount, textPlayers], row-major.
   */
  textMasks(): Uint8Array {
    return this.#text.masks();
  }
}

class StateTable {
  readonly #name: string;
  readonly #players: number;
  readonly #index = new Map<string, number>();
  readonly #rows: Uint8Array[] = [];

  constructor(name: string, players: number) {
    checkInteger(`${name} players`, players, 1);
    this.#name = name;
    this.#players = players;
  }

  get count(): number {
    return this.#rows.length;
  }

  add(present: ArrayLike<number | boolean>): number {
    if (present.length !== this.#players) {
      throw invalidArgument(this.#name, `${this.#players} players`, present.length);
    }
    const row = Uint8Array.from(present, (value) => (value ? 1 : 0));
    const key = Buffer.from(row).toString('latin1');
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    this.#index.set(key, this.#rows.length);
    this.#rows.push(row);
    return this.#rows.length - 1;
  }

  check(index: number): void {
    checkInteger(this.#name, index, 0, this.#rows.length - 1);
  }

  row(index: number): Uint8Array {
    this.check(index);
    return this.#rows[index];
  }

  masks(): Uint8Array {
    const all = new Uint8Array(this.#rows.length * this.#players);
    for (const [i, row] of this.#rows.entries()) all.set(row, i * this.#players);
    return all;
  }
}
