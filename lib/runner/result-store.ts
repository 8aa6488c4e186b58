import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FsynError, reasonOf } from '../errors.js';
import type { Explainer, SampleIdentity } from '../explainers/types.js';
import type { BenchmarkRecord } from '../report/record.js';
import { lockFolder } from './folder-lock.js';
import { completeLines, damagedFile, guard, keepLines, setAside } from './lines.js';
import { foreignVersion, readLine, resultsFile } from './rows.js';
import { describeVersions } from './versions.js';

export interface StoreOptions {
  /**
   * Whether rows that are already there may be continued; without it they are an error, never overwritten.
   */
  readonly resume: boolean;
  /** When resuming, forget failed rows so that they are run again. */
  readonly retryFailed?: boolean;
  /** Hears of lines that are set aside. */
  readonly onNote?: (text: string) => void;
}

/** What the rows of a name were measured on: a model's fingerprint or a dataset's version. */
interface Source {
  readonly name: string;
  readonly version: string;
}

/**
 * The append-only results of one run: JSON Lines, written whole and synced per batch, so that a kill at any
 * moment leaves complete rows and at most one torn line, which reopening cuts off. Holds keys, not rows, and
 * the folder's lock.
 */
export class ResultStore {
  readonly folder: string;
  readonly #failedByKey = new Map<string, boolean>();
  /**
   * By explainer: content hashes of its files, the empty text for fsyn's own, each with the first sample that
   * it was found on.
   */
  readonly #fingerprints = new Map<string, Map<string, SampleIdentity>>();
  /** Versions that rows were measured with, as JSON. */
  readonly #versions = new Set<string>();
  /** Fingerprints of models and versions of datasets by settings, kind and name. */
  readonly #sources = new Map<string, Set<string>>();
  readonly #giveBack: () => void;
  #descriptor: number | null = null;
  #end = 0;

  private constructor(folder: string, giveBack: () => void) {
    this.folder = folder;
    this.#giveBack = giveBack;
  }

  /**
   * Opens a results folder for this process alone, making it when it is new. When resuming, lines that are no
   * rows (torn, overwritten, foreign) are set aside in `results.jsonl.damaged`, so that they are measured
   * again.
   *
   * @throws FsynError RESULTS naming the owner of a folder in work, a folder with rows that are not to be
   *   continued, and rows of another version
   */
  static open(folder: string, options: StoreOptions): ResultStore {
    const path = join(folder, resultsFile);
    guard(`create the results folder ${folder}`, () => mkdirSync(folder, { recursive: true }));
    const store = new ResultStore(folder, lockFolder(folder));
    try {
      if (!options.resume && !completeLines(path).next().done) {
        throw new FsynError(
          'RESULTS',
          `${folder} already holds results; continue them with --resume or choose another --out.`,
        );
      }
      store.#read(path, options);
    } catch (error) {
      store.close();
      throw error;
    }
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
   * Makes sure that the rows of an explainer were measured with this version of it: rows of two versions
   * under one name would be compared as if they were one.
   *
   * @throws FsynError RESULTS naming the explainer and both versions
   */
  requireFingerprint(explainer: Explainer): void {
    for (const [before, identity] of this.#fingerprints.get(explainer.name) ?? []) {
      const now = explainer.fingerprintOf ? explainer.fingerprintOf(identity) : (explainer.fingerprint ?? '');
      // Of a sample that this run does not ask for nothing is known.
      if (now === undefined || before === now) continue;
      const version = (hash: string) =>
        hash === '' ? "fsyn's own" : `a file with SHA-256 ${hash.slice(0, 12)}`;
      const where =
        explainer.fingerprintOf === undefined ? '' : ` on ${identity.dataset}, ${identity.sample}`;
      throw new FsynError(
        'RESULTS',
        `${this.folder} holds rows of the explainer ${explainer.name} that were measured with ${version(before)}${where}; it now is ${version(now)}. ` +
          'Choose another --out, or take the file back to what it was.',
      );
    }
  }

  /**
   * Makes sure that all rows were measured with these versions: those of two versions of the code would stand
   * side by side as if they were one's.
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

  /**
   * Makes sure that rows of the same settings and the same name were measured on the same model or data: a
   * corrected typo makes another dataset, and a report of both would be of none.
   *
   * @param settings key of the run's settings
   * @throws FsynError RESULTS naming the model or dataset and both versions
   */
  requireSource(settings: string, kind: 'model' | 'dataset', { name, version }: Source): void {
    const known = this.#sources.get(sourceKey(settings, kind, name)) ?? [];
    const before = [...known].find((one) => one !== version);
    if (before === undefined) return;
    throw new FsynError(
      'RESULTS',
      `${this.folder} holds rows of the ${kind} ${name} as it was in version ${before}; it now is ${version}. ` +
        `Choose another --out, or take the ${kind} back to what it was.`,
    );
  }

  /**
   * Appends rows and waits until they are on the disk. On failure (a full disk) nothing of the batch remains
   * in the file.
   */
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

  /** Closes the file and gives the folder back. */
  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
    this.#giveBack();
  }

  #read(path: string, { retryFailed = false, onNote = () => {} }: StoreOptions): void {
    const damaged = new Map<number, { bytes: Buffer; why: string }>();
    const dropped = new Set<number>();
    for (const line of completeLines(path)) {
      const read = readLine(path, line);
      if (read.kind === 'version') throw foreignVersion(path, line.number, read.version);
      if (read.kind === 'damaged')
        damaged.set(line.number, { bytes: Buffer.from(line.bytes), why: read.why });
      else if (retryFailed && read.record.status === 'failed') dropped.add(line.number);
      else this.#remember(read.record);
      this.#end = line.end;
    }
    if (damaged.size > 0) {
      setAside(
        path,
        Array.from(damaged.values(), ({ bytes }) => bytes),
      );
      onNote(damageNote(path, damaged));
    }
    if (damaged.size + dropped.size > 0) {
      keepLines(path, ({ number }) => !damaged.has(number) && !dropped.has(number));
      this.#end = [...completeLines(path)].at(-1)?.end ?? 0;
    }
    this.#descriptor = guard(`open ${path}`, () => openSync(path, existsSync(path) ? 'r+' : 'w+'));
    ftruncateSync(this.#descriptor, this.#end);
  }

  #remember(record: BenchmarkRecord): void {
    this.#failedByKey.set(record.key, record.status === 'failed');
    this.#versions.add(JSON.stringify(record.versions ?? {}));
    const known = this.#fingerprints.get(record.explainer) ?? new Map<string, SampleIdentity>();
    const fingerprint = record.explainerFingerprint ?? '';
    if (!known.has(fingerprint)) known.set(fingerprint, { dataset: record.dataset, sample: record.sample });
    this.#fingerprints.set(record.explainer, known);
    const { settings, model, modelFingerprint, dataset, datasetVersion } = record;
    addTo(this.#sources, sourceKey(settings, 'model', model), modelFingerprint);
    addTo(this.#sources, sourceKey(settings, 'dataset', dataset), datasetVersion);
  }

  #discardTail(): void {
    try {
      if (this.#descriptor !== null) ftruncateSync(this.#descriptor, this.#end);
    } catch {
      // The write error is what the user must see; a torn last line is cut off when the folder is reopened.
    }
  }
}

function sourceKey(settings: string, kind: 'model' | 'dataset', name: string): string {
  return JSON.stringify([settings, kind, name]);
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const known = map.get(key);
  if (known) known.add(value);
  else map.set(key, new Set([value]));
}

/** Names the first lines, and says what becomes of all. */
function damageNote(path: string, damaged: ReadonlyMap<number, { readonly why: string }>): string {
  const reasons = Array.from(damaged.values(), ({ why }) => why);
  const more = reasons.length > 3 ? ` And ${reasons.length - 3} more.` : '';
  return (
    `WARNING: ${reasons.length} lines of ${path} are no result rows: ${reasons.slice(0, 3).join(' ')}${more} ` +
    `They are set aside in ${basename(damagedFile(path))}; what this run lacks is measured again.`
  );
}
