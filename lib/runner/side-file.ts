import { appendFileSync, existsSync, statSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { reasonOf } from '../errors.js';
import { completeLines, damagedFile, keepLines, setAside } from './lines.js';

/**
 * JSON lines that accompany the results and may be lost without harm: what cannot be read or written is said
 * and ends no run. Opening it cuts a torn last line off and sets aside lines that are not what the file
 * holds.
 */
export class SideFile {
  readonly #path: string;
  readonly #isLine: (value: unknown) => boolean;
  readonly #note: (text: string) => void;
  #broken = false;

  /**
   * @param isLine tells what a line of this file is
   * @param note hears of lines that are set aside, and once of a file that cannot be written
   */
  constructor(path: string, isLine: (value: unknown) => boolean, note: (text: string) => void) {
    this.#path = path;
    this.#isLine = isLine;
    this.#note = note;
    this.#attempt(() => this.#repair());
  }

  append(line: object): void {
    this.appendText(JSON.stringify(line));
  }

  /** Appends a line as it is, or sets it aside where it is none of this file's. */
  appendText(text: string): void {
    this.#attempt(() => {
      if (this.#accepts(text)) appendFileSync(this.#path, `${text}\n`);
      else this.#putAside([Buffer.from(text)]);
    });
  }

  #attempt(work: () => void): void {
    if (this.#broken) return;
    try {
      work();
    } catch (error) {
      this.#broken = true;
      this.#note(`Cannot write ${this.#path}: ${reasonOf(error)}. It is not written on; no result is lost.`);
    }
  }

  #accepts(text: string): boolean {
    try {
      return this.#isLine(JSON.parse(text));
    } catch {
      return false;
    }
  }

  #repair(): void {
    if (!existsSync(this.#path)) return;
    let end = 0;
    const damaged = new Map<number, Buffer>();
    for (const line of completeLines(this.#path)) {
      end = line.end;
      if (!this.#accepts(line.bytes.toString('utf8'))) damaged.set(line.number, Buffer.from(line.bytes));
    }
    if (statSync(this.#path).size > end) truncateSync(this.#path, end);
    if (damaged.size === 0) return;
    this.#putAside([...damaged.values()]);
    keepLines(this.#path, ({ number }) => !damaged.has(number));
  }

  #putAside(lines: readonly Buffer[]): void {
    setAside(this.#path, lines);
    this.#note(
      `WARNING: ${lines.length} lines of ${this.#path} are damaged. They are set aside in ${basename(damagedFile(this.#path))}.`,
    );
  }
}
