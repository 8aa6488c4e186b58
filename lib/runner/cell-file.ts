import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { formatBytes } from '../bytes.js';
import type { CellStore } from '../cells/scores.js';
import { contentHash } from '../inference/content.js';
import { type CellRecord, cellFileHeader, decodeCells, encodeCells } from './cell-record.js';

export const cellsFile = 'cells.bin';

/** Most bytes of cells of samples that failed; those of the sample in work are not bounded by it. */
const keptLimit = 64 * 2 ** 20;
/** A larger file is not read: no run writes one. */
const readLimit = 2 ** 30;

/** Cells computed and found since the last `settle`. */
export interface CellCounts {
  readonly computed: number;
  readonly found: number;
}

type Scores = Map<string, Float64Array>;

/**
 * The scores of cells of samples that have no row yet, beside a run's results: a process that is killed in
 * the middle of a sample loses at most the batches that were in the works.
 *
 * Records are appended when a batch is scored, each with a checksum; what is not whole when the file is
 * opened is cut off and reported. A sample's cells leave the file when its rows are written, so that it holds
 * one sample at a time, and those of samples that failed, up to 64 MiB. What cannot be written costs no
 * result: it is reported, and cells are computed again.
 */
export class CellFile implements CellStore {
  readonly #path: string;
  readonly #context: string;
  readonly #note: (text: string) => void;
  /** Scores that were there when the file was opened, or whose sample failed, by owner. */
  readonly #known = new Map<string, Scores>();
  /** Owner by what the evaluator calls a program. */
  readonly #owners = new Map<string, string>();
  /** Cells of this sample that were found, so that one asked for twice counts once. */
  readonly #found = new Set<string>();
  #sample = '';
  #descriptor: number | undefined;
  #computed = 0;
  /** Bytes that belong to `#known`; behind them are the cells of this sample, up to `#end`. */
  #base = 0;
  #end = 0;
  #broken = false;

  /**
   * Reads what an earlier process left in a results folder.
   *
   * @param context what decides a score besides the program and the cell: another context never finds this
   *   one's cells
   * @param note hears of bytes that cannot be believed and of cells that cannot be written
   */
  constructor(folder: string, context: string, note: (text: string) => void) {
    this.#path = join(folder, cellsFile);
    this.#context = context;
    this.#note = note;
    this.#attempt('read', () => this.#load());
  }

  /** Names the sample that the next cells belong to: 16 hex digits. */
  begin(sample: string): void {
    this.#sample = sample;
    this.#owners.clear();
  }

  find(program: string, cell: string): Float64Array | undefined {
    if (this.#known.size === 0) return undefined;
    const owner = this.#owner(program);
    const scores = this.#known.get(owner)?.get(cell);
    if (scores !== undefined) this.#found.add(`${owner}${cell}`);
    return scores;
  }

  keep(program: string, cells: readonly string[], scores: Float64Array): void {
    this.#computed += cells.length;
    if (this.#broken) return;
    const owner = this.#owner(program);
    this.#attempt('write', () => {
      if (this.#end === 0) this.#append(cellFileHeader);
      if (this.#base === 0) this.#base = cellFileHeader.length;
      this.#append(encodeCells({ owner, cells, scores }));
    });
  }

  /**
   * Ends the sample, whose rows are on the disk, and drops its cells, those of other settings too.
   *
   * @param failed keep them, because the sample was not scored to its end and may be tried again
   */
  settle(failed = false): CellCounts {
    const counts = { computed: this.#computed, found: this.#found.size };
    this.#computed = 0;
    this.#found.clear();
    this.#attempt('clean up', () => {
      if (failed && this.#keepAll()) return;
      const owners = [...this.#known.keys()].filter((owner) => owner.startsWith(this.#sample));
      const dropped = owners.filter((owner) => this.#known.delete(owner));
      if (dropped.length > 0) this.#rewrite();
      else this.#cut(this.#base);
    });
    return counts;
  }

  /** Closes the file, and removes it when it holds nothing that another process could use. */
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    if (this.#end <= cellFileHeader.length && !this.#broken) rmSync(this.#path, { force: true });
  }

  #owner(program: string): string {
    let owner = this.#owners.get(program);
    if (owner === undefined) {
      owner = this.#sample + contentHash([this.#context, program]).slice(0, 32);
      this.#owners.set(program, owner);
    }
    return owner;
  }

  #load(): void {
    if (!existsSync(this.#path)) return;
    const { size } = statSync(this.#path);
    const bytes = size > readLimit ? Buffer.alloc(0) : readFileSync(this.#path);
    const { records, end, why } = decodeCells(bytes);
    const whole = this.#remember(records);
    const lost = size - end;
    const damaged = lost > 0 && why !== 'torn';
    if (lost > 0 && !damaged) {
      this.#note(
        `${this.#path}: ${lost} bytes at its end were not written completely and are cut off; ${whole} cells before are whole.`,
      );
    } else if (damaged) {
      const aside = `${this.#path}.damaged`;
      renameSync(this.#path, aside);
      this.#note(
        `${this.#path}: ${lost} of ${size} bytes, from byte ${end}, are no cells of this version or are damaged. They are not used, their cells ` +
          `are computed again; ${whole} cells before are whole. The file is kept as ${aside}.`,
      );
      writeFileSync(this.#path, bytes.subarray(0, end));
    }
    this.#base = end;
    this.#end = damaged ? end : size;
    this.#cut(end);
  }

  /** Returns the number of cells. */
  #remember(records: readonly CellRecord[]): number {
    let count = 0;
    for (const { owner, cells, scores } of records) {
      const known: Scores = this.#known.get(owner) ?? new Map();
      this.#known.set(owner, known);
      const tokens = scores.length / cells.length;
      for (const [i, cell] of cells.entries()) known.set(cell, scores.subarray(i * tokens, (i + 1) * tokens));
      count += cells.length;
    }
    return count;
  }

  /** Makes this sample's cells part of what stays. False, with a note, where there is no room for them. */
  #keepAll(): boolean {
    if (this.#end > keptLimit) {
      this.#note(
        `${this.#path}: the cells of a failed sample are dropped, because there is ${formatBytes(this.#end)} of cells of failed samples.`,
      );
      return false;
    }
    if (this.#end > this.#base) {
      const bytes = Buffer.alloc(this.#end - this.#base);
      readSync(this.#open(), bytes, 0, bytes.length, this.#base);
      this.#remember(decodeCells(Buffer.concat([cellFileHeader, bytes])).records);
    }
    this.#base = this.#end;
    return true;
  }

  /** Writes what is still known to a new file; the old one stays whole until that is complete. */
  #rewrite(): void {
    const records: Buffer[] = [cellFileHeader];
    for (const [owner, known] of this.#known) {
      const scores = Float64Array.from([...known.values()].flatMap((values) => [...values]));
      records.push(encodeCells({ owner, cells: [...known.keys()], scores }));
    }
    const bytes = Buffer.concat(records);
    const temporary = `${this.#path}.new`;
    writeFileSync(temporary, bytes);
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    renameSync(temporary, this.#path);
    this.#base = bytes.length;
    this.#end = bytes.length;
  }

  #append(bytes: Buffer): void {
    const descriptor = this.#open();
    for (let written = 0; written < bytes.length; )
      written += writeSync(descriptor, bytes, written, bytes.length - written, this.#end + written);
    this.#end += bytes.length;
  }

  #cut(end: number): void {
    if (this.#end === end) return;
    ftruncateSync(this.#open(), end);
    this.#end = end;
  }

  #open(): number {
    this.#descriptor ??= openSync(this.#path, existsSync(this.#path) ? 'r+' : 'w+');
    return this.#descriptor;
  }

  /** A full disk or a folder that cannot be read costs the cells, not the run. */
  #attempt(action: string, work: () => void): void {
    if (this.#broken) return;
    try {
      work();
    } catch (error) {
      this.#broken = true;
      const reason = error instanceof Error ? error.message : String(error);
      this.#note(
        `Cannot ${action} ${this.#path}: ${reason}. Cells are no longer kept: if the run ends now, those of the sample in work are computed again.`,
      );
    }
  }
}
