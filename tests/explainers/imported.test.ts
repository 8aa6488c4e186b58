import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { importAttribution, importedExplainer, readAttribution } from '../../lib/explainers/imported.js';
import { parseNpy } from '../../lib/explainers/npy.js';
import type { PreparedSample } from '../../lib/vlm/types.js';
import { contextOf } from './helpers.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-imported-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function sampleOf(rows: number, columns: number, tiles: number, text: number): PreparedSample {
  return {
    imagePlayers: { count: rows * columns * tiles, rows, columns, tiles },
    textPlayers: { count: text },
    question: 'dog',
  } as unknown as PreparedSample;
}

const sample = sampleOf(2, 3, 1, 2);

/** The bytes that numpy.save writes for a float32 array. */
function npy(values: readonly number[], shape: readonly number[], fortran = false): Buffer {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '<f4', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${dims}), }`;
  const header = Buffer.from(`${text.padEnd(117)}\n`, 'latin1');
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
  return Buffer.concat([start, header, Buffer.from(Float32Array.from(values).buffer)]);
}

test('every accepted shape gives the players in order', () => {
  const wanted = [1, 2, 3, 4, 5, 6];
  for (const image of [
    wanted,
    [wanted.slice(0, 3), wanted.slice(3)],
    [[wanted.slice(0, 3), wanted.slice(3)]],
  ]) {
    expect([...importAttribution(sample, { image, text: [7, 8] }).image]).toEqual(wanted);
  }
  expect([...importAttribution(sample, { image: wanted, text: [7, 8] }).text]).toEqual([7, 8]);
});

test('finer maps are summed over cells, in both orders', () => {
  // 4 x 6 patches, each with the number of its cell: row-major and grouped by cell.
  const rowMajor = Array.from({ length: 24 }, (_, i) => Math.floor(i / 12) * 3 + Math.floor((i % 6) / 2));
  const grouped = Array.from({ length: 24 }, (_, i) => Math.floor(i / 4));
  const expected = [0, 4, 8, 12, 16, 20];
  expect([...importAttribution(sample, { image: rowMajor, text: [0, 0] }).image]).toEqual(expected);
  const options = { imageOrder: 'merge-block' } as const;
  expect([...importAttribution(sample, { image: grouped, text: [0, 0] }, options).image]).toEqual(expected);
  expect([...importAttribution(sample, { image: grouped, text: [0, 0] }).image]).not.toEqual(expected);
});

test('JSON and .npy files give the same attribution', async () => {
  writeFileSync(
    join(folder, 'dog.json'),
    JSON.stringify({
      image: [
        [1, 2, 3],
        [4, 5, 6],
      ],
      text: [7, 8],
    }),
  );
  writeFileSync(join(folder, 'i.npy'), npy([1, 2, 3, 4, 5, 6], [2, 3]));
  writeFileSync(join(folder, 'f.npy'), npy([1, 4, 2, 5, 3, 6], [2, 3], true));
  writeFileSync(join(folder, 't.npy'), npy([7, 8], [2]));
  const json = await readAttribution(sample, join(folder, 'dog.json'));
  for (const image of ['i.npy', 'f.npy']) {
    const pair = { image: join(folder, image), text: join(folder, 't.npy') };
    expect(await readAttribution(sample, pair)).toEqual(json);
  }
  const explainer = importedExplainer({ name: 'elsewhere', folder, idOf: ({ question }) => question });
  expect(await explainer.attribute(contextOf(sample))).toEqual(json);
});

test('wrong shapes, values and files are refused with what was expected', async () => {
  const text = [7, 8];
  expect(() => importAttribution(sample, { image: [1, 2, 3], text })).toThrow(
    /Expected image scores of shape \[6\], \[2, 3\]/,
  );
  expect(() => importAttribution(sample, { image: [1, 2, 3, 4, 5, 6], text: [7] })).toThrow(
    /Expected 2 text scores/,
  );
  expect(() => importAttribution(sample, { image: [1, 2, 3, 4, 5, Number.NaN], text })).toThrow(
    /image player 5 is not finite/,
  );
  expect(() => importAttribution(sample, { image: [[1, 2], [3]], text })).toThrow(/not a regular array/);
  expect(() =>
    importAttribution(sampleOf(2, 2, 3, 2), {
      image: [
        [1, 2],
        [3, 4],
      ],
      text,
    }),
  ).toThrow(/\[3, 2, 2\]/);
  writeFileSync(join(folder, 'bad.npy'), npy([1], [2]));
  const bad = { image: join(folder, 'bad.npy'), text: join(folder, 't.npy') };
  await expect(readAttribution(sample, bad)).rejects.toThrow(/wants 8 bytes, it has 4/);
  await expect(readAttribution(sample, join(folder, 'none.json'))).rejects.toMatchObject({
    code: 'ATTRIBUTION',
  });
});

test('every kind of number that NumPy saves is read', () => {
  const header = (descr: string, shape: string) => {
    const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
    const padded = Buffer.from(`${text.padEnd(117)}\n`, 'latin1');
    return Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length, 0]), padded]);
  };
  // numpy.array([1.5, -2, 65504], '<f2').tobytes(), and the others by hand.
  const cases: [string, number[], number[]][] = [
    ['<f2', [0x00, 0x3e, 0x00, 0xc0, 0xff, 0x7b], [1.5, -2, 65504]],
    ['>f2', [0x3e, 0x00, 0xc0, 0x00, 0x7b, 0xff], [1.5, -2, 65504]],
    ['<i2', [1, 0, 0xff, 0xff], [1, -1]],
    ['>u2', [0, 1, 0xff, 0xff], [1, 65535]],
    ['>i4', [0xff, 0xff, 0xff, 0xfe], [-2]],
    ['<u8', [3, 0, 0, 0, 0, 0, 0, 0], [3]],
    ['|b1', [1, 0], [1, 0]],
  ];
  for (const [descr, bytes, wanted] of cases) {
    const file = Buffer.concat([header(descr, `(${wanted.length},)`), Buffer.from(bytes)]);
    expect(Array.from(parseNpy(file, descr).values)).toEqual(wanted);
  }
  for (const [descr, shape] of [
    ['<f2', '(-1,)'],
    ['<f2', '(1e3,)'],
    ['<f2', '(9999999999999999999,)'],
    ['<c8', '(1,)'],
    ['O', '(1,)'],
    ['<__proto__', '(1,)'],
  ]) {
    expect(() => parseNpy(header(descr, shape), 'x.npy')).toThrow(/x\.npy is not a readable \.npy file/);
  }
});
