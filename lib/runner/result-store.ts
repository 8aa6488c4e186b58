import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { FsynError, reasonOf } from '../errors.js';
import { type BenchmarkRecord, recordSchema } from '../report/record.js';
import { describeVersions } from './versions.js';

export const resultsFile = 'results.jsonl';

/** A complete line of a results file and the byte offset behind its newline. */
interface Line {
  readonly text: string;
  readonly number: number;
  readonly end: number;
}

/**
 * Reads the rows of a results folder one after the other, without holding them all.
 *
 * @throws FsynError RESULTS naming file and line for one that is not a row or has another version
 */
export function* readRecords(folder: string): Generator<BenchmarkRecord> {
  const path = join(folder, resultsFile);
  if (!existsSync(path))
    throw new FsynError('RESULTS', `No results in ${folder}: ${resultsFile} is missing.`);
  for (const line of completeLines(path)) yield parseRow(path, line);
}

/** Lines of a file that end in a newline, one after the other; a torn last one is left out. */
export function* completeLines(path: string): Generator<Line> {
  const descriptor = openSync(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(1 << 20);
    let pending: Buffer = Buffer.alloc(0);
    let end = 0;
    for (let number = 1; ; ) {
      const size = readSync(descriptor, chunk, 0, chunk.length, null);
      if (size === 0) return;
      pending = Buffer.concat([pending, chunk.subarray(0, size)]);
      let start = 0;
      for (let newline = pending.indexOf(10); newline >= 0; newline = pending.indexOf(10, start)) {
        const text = pending.toString('utf8', start, newline);
        end += newline + 1 - start;
        start = newline + 1;
        yield { text, number: number++, end };
      }
      pending = Buffer.from(pending.subarray(start));
    }
  } finally {
    closeSync(descriptor);
  }
}

function parseRow(path: string, { text, number }: Line): BenchmarkRecord {
  let row: BenchmarkRecord;
  try {
    row = JSON.parse(text) as BenchmarkRecord;
  } catch (cause) {
    throw new FsynError('RESULTS', `${path}:${number} is not JSON.`, { cause });
  }
  if (row.schema !== recordSchema) {
    throw new FsynError(
      'RESULTS',
      `${path}:${number} has result version ${row.schema}, expected ${recordSchema}. ${countVersions(path)}`,
    );
  }
  return row;
}

/** How many rows there are of every version, so that one knows what a mixed file is made of. */
function countVersions(path: string): string {
  const counts = new Map<string, number>();
  let rows = 0;
  for (const { text } of completeLines(path)) {
    rows++;
    let version = 'none, not being JSON';
    try {
      version = String((JSON.parse(text) as BenchmarkRecord).schema);
    } catch {
      // Counted under its own name.
    }
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  const list = Array.from(counts, ([version, count]) => `${version}: ${count}`).join(', ');
  return `Of its ${rows} rows by version, ${list}.`;
}

/**
 * The append-only results of one run: JSON Lines, written whole and synced per batch, so that a kill at any moment leaves
 * complete rows and at most one torn line, which reopening cuts off. Holds keys, not rows.
 */
export class ResultStore {
  readonly folder: string;
  readonly #failedByKey = new Map<string, boolean>();
  /** Content hashes of explainers' files by explainer, the empty text for those of fsyn's own. */
  readonly #fingerprints = new Map<string, Set<string>>();
  /** Versions that rows were measured with, as JSON. */
  readonly #versions = new Set<string>();
  #descriptor: number | null;
  #end: number;

  private constructor(folder: string, descriptor: number) {
    this.folder = folder;
    this.#descriptor = descriptor;
    this.#end = 0;
  }

  /**
   * Opens a results folder, making it when it is new.
   *
   * @param resume whether rows that are already there may be continued; without it they are an error, never overwritten
   * @param retryFailed when resuming, forget failed rows so that they are run again
   */
  static open(folder: string, resume: boolean, retryFailed = false): ResultStore {
    const path = join(folder, resultsFile);
    guard(`create the results folder ${folder}`, () => mkdirSync(folder, { recursive: true }));
    if (existsSync(path)) {
      if (!resume && !completeLines(path).next().done) {
        throw new FsynError(
          'RESULTS',
          `${folder} already holds results; continue them with --resume or choose another --out.`,
        );
      }
      if (retryFailed) dropFailed(path);
    }
    const descriptor = guard(`open ${path}`, () => openSync(path, existsSync(path) ? 'r+' : 'w+'));
    const store = new ResultStore(folder, descriptor);
    for (const line of completeLines(path)) {
      store.#remember(parseRow(path, line));
      store.#end = line.end;
    }
    ftruncateSync(descriptor, store.#end);
    return store;
  }

  has(key: string): boolean {
    return this.#failedByKey.has(key);
  }

  /** Whether the row of this key is there and failed. */
  hasFailed(key: string): boolean {
    return this.#failedByKey.get(key) === true;
  }

  /**
   * Makes sure that the rows of an explainer were measured with this version of it: rows of two versions under one name would be
   * compared as if they were one.
   *
   * @throws FsynError RESULTS naming the explainer and both versions
   */
  requireFingerprint(explainer: string, fingerprint: string | undefined): void {
    const now = fingerprint ?? '';
    const before = [...(this.#fingerprints.get(explainer) ?? [])].find((known) => known !== now);
    if (before === undefined) return;
    const version = (hash: string) =>
      hash === '' ? "fsyn's own" : `a file with SHA-256 ${hash.slice(0, 12)}`;
    throw new FsynError(
      'RESULTS',
      `${this.folder} holds rows of the explainer ${explainer} that were measured with ${version(before)}; it now is ${version(now)}. ` +
        'Choose another --out, or take the file back to what it was.',
    );
  }

  /**
   * Makes sure that all rows were measured with these versions: those of two versions of the code would stand side by side as if
   * they were one's.
   *
   * @throws FsynError RESULTS naming both
   */
  requireVersions(versions: Readonly<Record<string, string>>): void {
    const now = JSON.stringify(versions);
    const before = [...this.#versions].find((known) => known !== now);
    if (before === undefined) return;
    throw new FsynError(
      'RESULTS',
      `${this.folder} holds rows that were measured with ${describeVersions(JSON.parse(before))}; this is ${describeVersions(versions)}. ` +
        'Choose another --out, or go on with the version that began.',
    );
  }

  /** Appends rows and waits until they are on the disk. On failure (a full disk) nothing of the batch remains in the file. */
  append(records: readonly BenchmarkRecord[]): void {
    if (this.#descriptor === null) throw new FsynError('DISPOSED', 'The result store is closed.');
    const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    try {
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(this.#descriptor, bytes, written, bytes.length - written, this.#end + written);
      }
      fsyncSync(this.#descriptor);
    } catch (cause) {
      this.#discardTail();
      const reason = reasonOf(cause);
      throw new FsynError(
        'RESULTS',
        `Cannot write results to ${this.folder}: ${reason}. Rows before this batch are kept.`,
        { cause },
      );
    }
    this.#end += bytes.length;
    for (const record of records) this.#remember(record);
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  #remember(record: BenchmarkRecord): void {
    this.#failedByKey.set(record.key, record.status === 'failed');
    this.#versions.add(JSON.stringify(record.versions ?? {}));
    const known = this.#fingerprints.get(record.explainer) ?? new Set();
    this.#fingerprints.set(record.explainer, known.add(record.explainerFingerprint ?? ''));
  }

  #discardTail(): void {
    try {
      if (this.#descriptor !== null) ftruncateSync(this.#descriptor, this.#end);
    } catch {
      // The write error is what the user must see; a torn last line is cut off when the folder is reopened.
    }
  }
}

/** JSON lines that accompany the results and may be lost without harm; a torn last line is cut off before the first append. */
export class SideFile {
  readonly #path: string;
  #checked = false;

  constructor(path: string) {
    this.#path = path;
  }

  append(line: object): void {
    guard(`write ${this.#path}`, () => {
      if (!this.#checked && existsSync(this.#path)) {
        let end = 0;
        for (const complete of completeLines(this.#path)) end = complete.end;
        truncateSync(this.#path, end);
      }
      this.#checked = true;
      appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
    });
  }
}

/** Rewrites the file without its failed rows; the old file stays whole until the new one is complete on the disk. */
function dropFailed(path: string): void {
  const temporary = `${path}.new`;
  guard(`rewrite ${path}`, () => {
    const descriptor = openSync(temporary, 'w');
    try {
      for (const line of completeLines(path)) {
        if (parseRow(path, line).status === 'ok') writeSync(descriptor, `${line.text}\n`);
      }
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  });
}

function guard<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof FsynError) throw cause;
    throw new FsynError('RESULTS', `Cannot ${action}: ${reasonOf(cause)}`, { cause });
  }
}
