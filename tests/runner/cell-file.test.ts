import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CellFile, cellsFile } from '../../lib/runner/cell-file.js';

let folder: string;
let path: string;
let notes: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-cells-'));
  path = join(folder, cellsFile);
  notes = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sampleKey = (number: number) => number.toString(16).padStart(16, '0');

function open(context = 'context', sample = 1): CellFile {
  const file = new CellFile(folder, context, (note) => notes.push(note));
  file.begin(sampleKey(sample));
  return file;
}
const scoresOf = (batch: number, cell: number) => [-Math.PI * (batch + 1), -1 / (cell + 3), -0];
const cellOf = (batch: number, cell: number) => `\xff\0${String.fromCharCode(batch)}|${cell}`;

/** Writes batches of three cells of two programs, as a process does that is killed before the sample ends. */
function write(batches: number, programs = ['first', 'second']): void {
  const file = open();
  for (let batch = 0; batch < batches; batch++) {
    const cells = [0, 1, 2];
    const scores = Float64Array.from(cells.flatMap((cell) => scoresOf(batch, cell)));
    file.keep(
      programs[batch % programs.length],
      cells.map((cell) => cellOf(batch, cell)),
      scores,
    );
  }
  // No settle and no close: what a killed process leaves.
}

/** Of `batches`, those whose cells are found; what is found must be exact. */
function found(file: CellFile, batches: number, programs = ['first', 'second']): number[] {
  return Array.from({ length: batches }, (_, batch) => batch).filter((batch) => {
    const hits = [0, 1, 2].map((cell) => file.find(programs[batch % programs.length], cellOf(batch, cell)));
    for (const [cell, hit] of hits.entries())
      if (hit !== undefined) expect(hit).toEqual(Float64Array.from(scoresOf(batch, cell)));
    // A batch is there as a whole or not at all.
    expect(new Set(hits.map((hit) => hit === undefined)).size).toBe(1);
    return hits[0] !== undefined;
  });
}

describe('cells of a killed process', () => {
  test('are found bit by bit, by content and context', () => {
    write(4);
    const file = open();
    expect(found(file, 5)).toEqual([0, 1, 2, 3]);
    expect(file.find('second', cellOf(0, 0))).toBeUndefined();
    expect(open('another').find('first', cellOf(0, 0))).toBeUndefined();
    expect(open('context', 2).find('first', cellOf(0, 0))).toBeUndefined();
    expect(Object.is(file.find('first', cellOf(0, 0))![2], -0)).toBe(true);
    expect(notes).toEqual([]);
  });

  test('are counted once, and leave the file with their sample', () => {
    write(4);
    const other = open('context', 2);
    other.keep('first', [cellOf(5, 0)], Float64Array.of(1, 2, 3));
    const file = open();
    for (let again = 0; again < 2; again++) file.find('first', cellOf(0, 1));
    file.keep('first', [cellOf(9, 0)], Float64Array.of(1, 2, 3));
    expect(file.settle()).toEqual({ computed: 1, found: 1 });
    expect(file.settle()).toEqual({ computed: 0, found: 0 });
    file.close();
    // The other sample was not touched.
    expect(found(open(), 4)).toEqual([]);
    const next = open('context', 2);
    expect(next.find('first', cellOf(5, 0))).toEqual(Float64Array.of(1, 2, 3));
    next.settle();
    next.close();
    expect(existsSync(path)).toBe(false);
  });

  test('of a failed sample wait for another try', () => {
    const first = open();
    first.keep(
      'first',
      [cellOf(0, 0), cellOf(0, 1), cellOf(0, 2)],
      Float64Array.from([0, 1, 2].flatMap((c) => scoresOf(0, c))),
    );
    first.settle(true);
    first.begin(sampleKey(2));
    first.keep('second', [cellOf(1, 0)], Float64Array.of(1, 2, 3));
    first.settle();
    first.close();
    const retry = open();
    expect(found(retry, 2)).toEqual([0]);
    retry.settle();
    retry.close();
    expect(existsSync(path)).toBe(false);
  });

  test('do not pile up over samples', () => {
    const file = open();
    let largest = 0;
    for (let sample = 0; sample < 200; sample++) {
      file.begin(sampleKey(sample));
      file.keep(`program ${sample}`, [cellOf(1, 1)], Float64Array.of(1, 2, 3));
      largest = Math.max(largest, readFileSync(path).length);
      file.settle();
    }
    file.close();
    expect(largest).toBeLessThan(200);
    expect(existsSync(path)).toBe(false);
  });
});

describe('bytes that cannot be believed', () => {
  test('a file torn anywhere gives its whole batches, cuts the rest off and says so', () => {
    write(3);
    const whole = readFileSync(path);
    const ends = [16];
    while (ends.at(-1)! < whole.length) ends.push(ends.at(-1)! + 4 + whole.readUInt32LE(ends.at(-1)!));
    expect(ends).toHaveLength(4);
    for (let size = 0; size <= whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      notes = [];
      const file = open();
      const batches = Math.max(0, ends.filter((end) => end <= size).length - 1);
      expect(found(file, 3)).toEqual([0, 1, 2].slice(0, batches));
      const rest = size - (size < 16 ? 0 : ends[batches]);
      expect(notes).toEqual(rest === 0 ? [] : [expect.stringContaining(`${rest} bytes at its end`)]);
      // What is written next is read back, whatever was cut off.
      file.keep('third', [cellOf(7, 7)], Float64Array.of(-1));
      expect(open().find('third', cellOf(7, 7))).toEqual(Float64Array.of(-1));
    }
  });

  test('a flipped bit is never believed, is reported, and the file is set aside', () => {
    write(3);
    const whole = readFileSync(path);
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: whole.length - 1 }),
        fc.integer({ min: 0, max: 7 }),
        (at, bit) => {
          const bytes = Buffer.from(whole);
          bytes[at] ^= 1 << bit;
          writeFileSync(path, bytes);
          notes = [];
          const batches = found(open(), 3);
          expect(batches.length).toBeLessThan(3);
          expect(batches).toEqual([0, 1, 2].slice(0, batches.length));
          expect(notes).toHaveLength(1);
          expect(notes[0]).toContain(path);
          // A length that points behind the end looks like a torn record; all else is set aside as it was.
          if (!/cut off/.test(notes[0])) expect(readFileSync(`${path}.damaged`)).toEqual(bytes);
        },
      ),
      { numRuns: 300, seed: 5 },
    );
  });

  test('a file that is none of ours is named, kept and not used', () => {
    writeFileSync(path, 'fsyn cells v0\n and what an older version wrote');
    const file = open();
    expect(notes).toEqual([expect.stringMatching(/46 of 46 bytes.*no cells of this version/)]);
    expect(readFileSync(`${path}.damaged`, 'utf8')).toMatch(/^fsyn cells v0/);
    file.keep('first', [cellOf(0, 0)], Float64Array.of(1));
    expect(open().find('first', cellOf(0, 0))).toEqual(Float64Array.of(1));
  });

  test('what cannot be read or written costs no result', () => {
    mkdirSync(path);
    const file = open();
    expect(notes).toEqual([expect.stringMatching(/Cannot read .*no longer kept/)]);
    file.keep('first', [cellOf(0, 0)], Float64Array.of(1));
    expect(file.settle()).toEqual({ computed: 1, found: 0 });
    file.close();
    expect(notes).toHaveLength(1);
  });
});
