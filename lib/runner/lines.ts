import { closeSync, existsSync, fsyncSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { FsynError, reasonOf } from '../errors.js';

/**
 * A complete line of a file: its bytes without the newline, its number from 1, and the byte offset behind its
 * newline.
 */
export interface Line {
  readonly bytes: Buffer;
  readonly number: number;
  readonly end: number;
}

/**
 * Lines of a file that end in a newline, one after the other; a torn last one is left out. None where there
 * is no file.
 */
export function* completeLines(path: string): Generator<Line> {
  if (!existsSync(path)) return;
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
        const bytes = pending.subarray(start, newline);
        end += newline + 1 - start;
        start = newline + 1;
        yield { bytes, number: number++, end };
      }
      pending = Buffer.from(pending.subarray(start));
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Where lines go that cannot be used, so that nothing is lost. */
export function damagedFile(path: string): string {
  return `${path}.damaged`;
}

/** Appends lines as they are to the file for damaged ones, and waits until they are on the disk. */
export function setAside(path: string, lines: readonly Buffer[]): void {
  guard(`write ${damagedFile(path)}`, () =>
    writeLines(damagedFile(path), 'a', (write) => {
      for (const line of lines) write(line);
    }),
  );
}

/**
 * Rewrites a file without some of its lines; the old file stays whole until the new one is complete on the
 * disk.
 */
export function keepLines(path: string, isKept: (line: Line) => boolean): void {
  const temporary = `${path}.new`;
  guard(`rewrite ${path}`, () => {
    writeLines(temporary, 'w', (write) => {
      for (const line of completeLines(path)) if (isKept(line)) write(line.bytes);
    });
    renameSync(temporary, path);
  });
}

function writeLines(path: string, flag: 'a' | 'w', work: (write: (line: Buffer) => void) => void): void {
  const descriptor = openSync(path, flag);
  try {
    work((line) => {
      const bytes = Buffer.concat([line, Buffer.from('\n')]);
      for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
    });
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Gives what the file system refuses the code RESULTS. */
export function guard<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof FsynError) throw cause;
    throw new FsynError('RESULTS', `Cannot ${action}: ${reasonOf(cause)}`, { cause });
  }
}
