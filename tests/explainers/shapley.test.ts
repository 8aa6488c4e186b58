import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { selectExplainers } from '../../lib/explainers/registry.js';
import { shapley } from '../../lib/explainers/shapley.js';
import type { ExplainContext } from '../../lib/explainers/types.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { pattern } from '../vlm/pattern.js';
import { contextOf, total } from './helpers.js';

interface Part {
  readonly members: readonly number[];
  readonly weight: number;
}

/**
 * A sample whose log-probability is a sum of unanimity games: a part pays its weight when all its members are
 * present.
 */
function gameContext(
  images: number,
  texts: number,
  parts: readonly Part[],
  asked: number[] = [],
): ExplainContext {
  const evaluate: ExplainContext['evaluate'] = async (table) => {
    const [pairs, image, text] = [table.pairs(), table.imageMasks(), table.textMasks()];
    asked.push(table.cellCount);
    const logProbabilities = Float64Array.from({ length: table.cellCount }, (_, cell) => {
      const [i, t] = [pairs[2 * cell], pairs[2 * cell + 1]];
      const present = (p: number) =>
        (p < images ? image[i * images + p] : text[t * texts + p - images]) === 1;
      return parts.reduce((sum, part) => sum + (part.members.every(present) ? part.weight : 0), -3);
    });
    return { logProbabilities, tokens: 1, decision: 0 };
  };
  const sample = { imagePlayers: { count: images }, textPlayers: { count: texts } } as PreparedSample;
  return { sample, seed: 5, evaluate };
}

/** A part's weight is shared equally by its members (Shapley 1953). */
function shares(players: number, parts: readonly Part[]): Float64Array {
  const values = new Float64Array(players);
  for (const { members, weight } of parts) {
    for (const p of members) values[p] = values[p] + weight / members.length;
  }
  return values;
}

const gameOf = (players: number) =>
  fc.array(
    fc.record({
      members: fc.uniqueArray(fc.integer({ min: 0, max: players - 1 }), { minLength: 1, maxLength: 3 }),
      weight: fc.double({ min: -1, max: 1, noNaN: true }),
    }),
    { minLength: 1, maxLength: 12 },
  );

test('few players: equals the definition on sums of unanimity games', async () => {
  await fc.assert(
    fc.asyncProperty(gameOf(7), async (parts) => {
      const explainer = shapley({ scoring: 'log-probability' });
      const { image, text, diagnostics } = await explainer.attribute(gameContext(4, 3, parts));
      const expected = shares(7, parts);
      // Float64 sums of 2^7 values of order 10.
      for (const [p, value] of [...image, ...text].entries()) expect(value).toBeCloseTo(expected[p], 11);
      expect([image.length, text.length]).toEqual([4, 3]);
      expect(diagnostics).toEqual({ cells: 128, exact: 1, standardError: 0 });
    }),
    { numRuns: 30, seed: 1 },
  );
});

describe.each(['regression', 'permutation'] as const)('many players, %s', (estimator) => {
  const parts: Part[] = [
    { members: [0], weight: 0.7 },
    { members: [3, 25], weight: 1.5 },
    { members: [7, 24, 29], weight: -0.8 },
    { members: [11], weight: -0.4 },
  ];

  test('comes close within the budget, adds up, and reports its cost', async () => {
    const asked: number[] = [];
    const explainer = shapley({ scoring: 'log-probability', estimator, budget: 3000 });
    const context = gameContext(24, 6, parts, asked);
    const { image, text, diagnostics } = await explainer.attribute(context);
    const scores = [...image, ...text];
    const expected = shares(30, parts);
    // About 100 permutations: 0.75 / sqrt(100) is the standard error of the largest share; four of them.
    for (const [p, score] of scores.entries()) expect(Math.abs(score - expected[p])).toBeLessThan(0.3);
    expect(total(scores)).toBeCloseTo(1, 9);
    // The whole budget is one request, so that the evaluator can share what there is to share.
    expect(asked).toEqual([diagnostics?.cells]);
    expect(asked[0]).toBeLessThanOrEqual(3000);
    expect(asked[0]).toBeGreaterThan(2000);
    expect(diagnostics?.exact).toBe(0);
    expect(diagnostics?.standardError).toBeGreaterThan(0);
    expect(await explainer.attribute(context)).toEqual({ image, text, diagnostics });
    const other = await explainer.attribute({ ...context, seed: 6 });
    expect(other.image).not.toEqual(image);
  });

  test('a budget that cannot determine the players is an error', async () => {
    const explainer = shapley({ estimator, budget: 12 });
    await expect(explainer.attribute(gameContext(24, 6, parts))).rejects.toMatchObject({
      code: expect.stringMatching(/BUDGET|RANK_DEFICIENT/),
    });
  });
});

describe('a real model with nine players', () => {
  let folder: string;
  let vlm: Vlm;
  let sample: PreparedSample;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fsyn-shapley-'));
    const source = fileURLToPath(new URL('../golden/vlm-classifier/', import.meta.url));
    await cp(join(source, 'bag.onnx'), join(folder, 'bag.onnx'));
    const manifest = JSON.parse(await readFile(join(source, 'bag.json'), 'utf8'));
    manifest.image = { ...manifest.image, rows: 2, columns: 2 };
    await writeFile(join(folder, 'bag.json'), JSON.stringify(manifest));
    vlm = await loadVlm(join(folder, 'bag.json'));
    sample = await vlm.prepare(pattern(30, 50), 'Is the red shape red?');
  });
  afterAll(async () => {
    vlm.dispose();
    await rm(folder, { recursive: true });
  });

  test('equals the mean marginal contribution over all coalitions', async () => {
    const n = 9;
    const table = new CellTable(4, 5);
    const bits = (mask: number) => Array.from({ length: n }, (_, p) => (mask >> p) & 1);
    const cells = Array.from({ length: 2 ** n }, (_, mask) =>
      table.cell(table.imageState(bits(mask).slice(0, 4)), table.textState(bits(mask).slice(4))),
    );
    const { logProbabilities } = await sample.evaluate(table);
    const v = cells.map((cell) => Math.exp(logProbabilities[cell]));
    const factorial = (k: number): number => (k < 2 ? 1 : k * factorial(k - 1));
    const expected = Array.from({ length: n }, (_, p) => {
      let sum = 0;
      for (const [mask, value] of v.entries()) {
        if ((mask >> p) & 1) continue;
        const size = bits(mask).filter(Boolean).length;
        const weight = (factorial(size) * factorial(n - size - 1)) / factorial(n);
        sum += weight * (v[mask | (1 << p)] - value);
      }
      return sum;
    });
    const { image, text, diagnostics } = await shapley().attribute(contextOf(sample));
    for (const [p, score] of [...image, ...text].entries()) expect(score).toBeCloseTo(expected[p], 12);
    expect(diagnostics).toEqual({ cells: 512, exact: 1, standardError: 0 });
    // With every coalition in the budget, the regression is exact, too.
    const fitted = await shapley({ exactUpTo: 0, budget: 512 }).attribute(contextOf(sample));
    for (const [p, score] of [...fitted.image, ...fitted.text].entries()) {
      expect(score).toBeCloseTo(expected[p], 10);
    }
  });
});

test('is asked for by name only', () => {
  expect(selectExplainers(['shapley']).map(({ name }) => name)).toEqual(['shapley']);
  expect(selectExplainers(['all']).map(({ name }) => name)).not.toContain('shapley');
});

test.each([
  [{ budget: 1 }, 'budget'],
  [{ exactUpTo: 21 }, 'exactUpTo'],
  [{ estimator: 'guess' }, 'estimator'],
  [{ samples: 3 }, 'samples'],
])('refuses %j', (options, parameter) => {
  expect(() => shapley(options as object)).toThrow(parameter);
});
