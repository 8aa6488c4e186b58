import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dataset } from '../../lib/datasets/types.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { renderConsole } from '../../lib/report/console.js';
import { type ScoreShape, suspicionsOf } from '../../lib/report/suspicion.js';
import { type BenchmarkConclusion, concludeBenchmark } from '../../lib/runner/conclude.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import { Random } from '../../lib/statistics/random.js';
import { fakeDataset, fakeModel } from './fake-model.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-suspicious-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const samples = 16;

/** Questions about pictures of noise. */
function noise(): Dataset {
  const random = new Random(3);
  const base = fakeDataset(Array.from({ length: samples }, () => 'is it red ?'));
  return {
    ...base,
    async *samples() {
      for await (const sample of base.samples()) {
        const data = Uint8Array.from({ length: 8 * 8 * 3 }, () => random.integer(256));
        yield { ...sample, image: async () => ndarray(data, [8, 8, 3]) };
      }
    },
  };
}

type Scores = (brightness: Float64Array, random: Random) => ArrayLike<number>;

/** Scores of the 4 x 4 players, made of each one's brightness. */
function explainer(name: string, image: Scores, outside = true): Explainer {
  return {
    name,
    title: name,
    reference: 'test',
    needsTruth: false,
    ...(outside && { fingerprint: 'outside' }),
    async attribute({ sample, seed }) {
      const brightness = new Float64Array(16);
      for (const [i, value] of sample.image.data.entries()) {
        const [row, column] = [Math.floor(i / 24), Math.floor(i / 3) % 8];
        brightness[4 * (row >> 1) + (column >> 1)] += value;
      }
      const random = new Random(seed);
      return {
        image: Float64Array.from(image(brightness, random)),
        text: Float64Array.from({ length: 4 }, () => random.uniform()),
      };
    },
  };
}

const turn = (map: ArrayLike<number>) => Array.from({ length: 16 }, (_, i) => map[(i % 4) * 4 + (i >> 2)]);
const noisy: Scores = (map, random) => map.map((value) => value * (0.5 + random.uniform()));

let concluded: BenchmarkConclusion;
const notes: string[] = [];

beforeAll(async () => {
  const outcome = await runBenchmark({
    models: [fakeModel()],
    datasets: [noise()],
    explainers: [
      explainer('honest', noisy),
      explainer('turned', (map, random) => turn(Array.from(noisy(map, random)))),
      explainer('turned-inside', (map) => turn(map), false),
      explainer('blind', (_, random) => Array.from({ length: 16 }, () => random.uniform())),
      explainer('flat', () => new Float64Array(16)),
      explainer('rounded', (map) => map.map((value) => 1e6 + 1e-6 * value)),
      explainer('single', (map) => map.map((value, i) => (i === 5 ? -1e300 : value))),
    ],
    out: home,
    settings: defaultSettings,
  });
  expect(outcome.failed).toBe(0);
  concluded = await concludeBenchmark(home, outcome, { resamples: 200, onNote: (text) => notes.push(text) });
});

test('suspicious scores of explainers from outside are named in summary, table and page, and no others', () => {
  const { explainers } = concluded.summary.models[0].scopes[0];
  const kinds = Object.fromEntries(
    explainers.map(({ name, suspicions }) => [name, suspicions.map(({ kind }) => kind)]),
  );
  expect(kinds).toEqual({
    honest: [],
    turned: ['transposed'],
    'turned-inside': [],
    blind: [],
    flat: ['constant'],
    rounded: ['nearly-constant'],
    single: ['one-player'],
  });
  const said = renderConsole(concluded.report!, 200).replaceAll(/\s+/gu, ' ');
  expect(said.match(/Suspicious scores of turned: image maps fit the picture better/g)).toHaveLength(1);
  expect(said).toMatch(/single: one player holds 99 % of all mass[^()]*\(16 of 16 samples\)/);
  expect(said).not.toMatch(/Suspicious scores of (honest|blind|turned-inside)/);
});

describe('the rules', () => {
  const interval = (low: number, high: number) => ({ estimate: (low + high) / 2, low, high });
  const open = { imageSrg: interval(-1, 1), textSrg: interval(-1, 1) };
  const maps = { samples: 8, constantImage: 0, constantText: 0, constant: 0, tiedImage: 0, tiedText: 0 };
  const shape = (change: Partial<ScoreShape>): ScoreShape => ({
    onePlayer: false,
    nearlyConstant: false,
    pictureFit: undefined,
    ...change,
  });
  const repeat = (count: number, change: Partial<ScoreShape>) =>
    Array.from({ length: count }, () => shape(change));
  const kinds = (shapes: readonly ScoreShape[], means = open) =>
    suspicionsOf(shapes, maps, means).map(({ kind }) => kind);
  const fits = (count: number, better: number) =>
    Array.from({ length: count }, (_, i) =>
      shape({ pictureFit: { declared: 0.3, transposed: 0.3 + (i < better ? 1 : -1) * 0.01 * (i + 1) } }),
    );

  test('need eight samples that agree, and more than half of the maps', () => {
    expect(kinds(fits(7, 7))).toEqual([]);
    expect(kinds(fits(8, 8))).toEqual(['transposed']);
    expect(kinds(fits(8, 7))).toEqual([]);
    expect(kinds(fits(8, 0))).toEqual([]);
    expect(kinds([...repeat(4, { onePlayer: true }), ...repeat(4, {})])).toEqual([]);
    expect(kinds([...repeat(5, { onePlayer: true }), ...repeat(4, {})])).toEqual(['one-player']);
  });

  test('a wrong sign shows in both modalities', () => {
    const both = { imageSrg: interval(-0.5, -0.1), textSrg: interval(-0.3, -0.1) };
    expect(kinds(repeat(8, {}), both)).toEqual(['sign']);
    expect(kinds(repeat(7, {}), both)).toEqual([]);
    expect(kinds(repeat(8, {}), { ...both, textSrg: interval(-0.3, 0.01) })).toEqual([]);
    expect(kinds([], both)).toEqual([]);
  });
});
