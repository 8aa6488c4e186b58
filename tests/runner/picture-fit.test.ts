import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { expect, test } from 'vitest';
import { pictureFit } from '../../lib/runner/picture-fit.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import type { RgbImage } from '../../lib/vlm/types.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

interface Case {
  readonly picture: string;
  readonly rows: number;
  readonly columns: number;
  readonly scores: readonly number[];
  readonly declared: number;
  readonly transposed: number;
}

function sampleOf(image: RgbImage, rows: number, columns: number, tiles = 1) {
  const count = tiles * rows * columns;
  const [width, height] = [image.shape[1] / columns, image.shape[0] / rows];
  const boxes = Float64Array.from({ length: 4 * count }, (_, i) => {
    const [row, column] = [Math.floor(i / 4 / columns) % rows, Math.floor(i / 4) % columns];
    return [column * width, row * height, (column + 1) * width, (row + 1) * height][i % 4];
  });
  return { image, imagePlayers: { count, rows, columns, tiles, boxes } };
}

test('what a picture explains of a map is what least squares find', async () => {
  const cases = JSON.parse(readFileSync(`${golden}picture-fit.json`, 'utf8')) as Case[];
  expect(cases.length).toBe(12);
  for (const { picture, rows, columns, scores, declared, transposed } of cases) {
    const fit = pictureFit(
      scores,
      sampleOf(await decodeImage(`${golden}embedded/${picture}`), rows, columns),
    )!;
    // Both in float64; ranks are whole or half numbers, so only the solver differs.
    expect(fit.declared).toBeCloseTo(declared, 9);
    expect(fit.transposed).toBeCloseTo(transposed, 9);
  }
});

test('tiles are transposed one by one, and a grey picture has fewer features', async () => {
  const image = ndarray(
    Uint8Array.from({ length: 40 * 40 * 3 }, (_, i) => (Math.floor(i / 3) * 37) % 251),
    [40, 40, 3],
  );
  const one = Array.from({ length: 20 }, (_, i) => Math.cos(7 * i));
  const two = [...one, ...one.map((value) => -value)];
  const turned = [0, 20].flatMap((tile) =>
    Array.from({ length: 20 }, (_, cell) => two[tile + (cell % 5) * 4 + Math.floor(cell / 5)]),
  );
  const [as, by] = [two, turned].map((scores) => pictureFit(scores, sampleOf(image, 4, 5, 2))!);
  expect(by.declared).toBeCloseTo(as.transposed, 12);
  for (const value of [as.declared, as.transposed]) expect(value > 0 && value < 1).toBe(true);
});

test('what cannot show it says nothing', () => {
  const image = ndarray(new Uint8Array(16 * 16 * 3), [16, 16, 3]);
  const fit = (rows: number, columns: number, score: (i: number) => number) =>
    pictureFit(
      Array.from({ length: rows * columns }, (_, i) => score(i)),
      sampleOf(image, rows, columns),
    );
  expect(fit(1, 16, (i) => i)).toBeUndefined();
  expect(fit(16, 1, (i) => i)).toBeUndefined();
  expect(fit(3, 5, (i) => i)).toBeUndefined();
  expect(fit(4, 4, () => 1)).toBeUndefined();
  // A black picture explains nothing, however it is read.
  expect(fit(4, 4, (i) => i)).toEqual({ declared: 0, transposed: 0 });
});
