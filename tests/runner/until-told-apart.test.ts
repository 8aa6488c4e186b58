import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findExplainers } from '../../lib/explainers/registry.js';
import { renderConsole } from '../../lib/report/console.js';
import { renderHtml } from '../../lib/report/html.js';
import { renderMarkdown } from '../../lib/report/markdown.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { readReport } from '../../lib/runner/conclude.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { fakeDataset, fakeModel } from './fake-model.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-apart-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const questions = Array.from({ length: 240 }, (_, i) => `a bb cc d${i}`);
const run = (out: string, explainers: readonly string[], options: object = {}) =>
  runBenchmark({
    models: [fakeModel()],
    datasets: [fakeDataset(questions)],
    explainers: findExplainers(explainers),
    out: join(home, out),
    ...options,
  });
const until = { alpha: 0.05, guarantee: 'asymptotic' } as const;
const text = (out: string, file: string) => readFileSync(join(home, out, file), 'utf8');

describe('a run that stops when the order is certain', () => {
  test('stops early, drops who is certain, goes on after a kill to the same end, and reports it', async () => {
    const names = ['oracle', 'random', 'occlusion', 'anti-oracle'];
    const outcome = await run('whole', names, { untilToldApart: until });
    const [found] = outcome.toldApart;
    expect(found).toMatchObject({ isCertain: true, available: 240, pair: null });
    expect(found.samples).toBeGreaterThanOrEqual(20);
    expect(found.samples).toBeLessThan(240);
    // Occlusion finds the pair of players that the fake model needs; the controls that know the truth are not
    // ranked.
    expect(found.places.map(({ name, first, last }) => [name, first, last])).toEqual([
      ['random', 2, 2],
      ['occlusion', 1, 1],
    ]);
    const rows = [...readRecords(join(home, 'whole'))] as MeasuredRecord[];
    expect(rows).toHaveLength(names.length * found.samples);
    expect(outcome.keys.size).toBe(rows.length);
    const raw = (name: string) => rows.filter((r) => r.explainer === name).map((r) => r.synergy.raw.mean);
    const [a, b] = [raw('random'), raw('occlusion')];
    const mean = a.reduce((sum, value, i) => sum + value - b[i], 0) / a.length;
    expect(found.pairs[0].mean).toBeCloseTo(mean, 12);

    const controller = new AbortController();
    const onProgress = ({ done }: { done: number }) => done === 9 && controller.abort(new Error('killed'));
    const killed = run('killed', names, { untilToldApart: until, signal: controller.signal, onProgress });
    await expect(killed).rejects.toThrow('killed');
    await run('killed', names, { untilToldApart: until, resume: true });
    for (const file of ['told-apart.json', 'results.jsonl'])
      expect(text('killed', file)).toBe(text('whole', file));
    // Nothing is left to do, and the same is said again.
    const again = await run('killed', names, { untilToldApart: until, resume: true });
    expect(again).toMatchObject({ cells: 0, resumed: rows.length });
    expect(again.toldApart).toEqual(outcome.toldApart);

    const report = await readReport(join(home, 'whole'), { resamples: 100 });
    const sentence = `${found.samples} of 240 samples were enough`;
    expect(renderConsole(report)).toContain(sentence);
    expect(renderMarkdown(report)).toContain(sentence);
    expect(await renderHtml(report)).toContain(sentence);
  });

  test('a certificate takes more samples, of the two that were asked for, and says what stays open', async () => {
    const pair = ['oracle', 'random'] as const;
    const options = { untilToldApart: { alpha: 0.05, guarantee: 'certified', pair } };
    const outcome = await run('pair', ['oracle', 'random', 'occlusion'], options);
    const [found] = outcome.toldApart;
    expect(found).toMatchObject({ isCertain: true, guarantee: 'certified' });
    expect(found.places[0]).toMatchObject({ name: 'oracle', first: 1, last: 1 });
    expect(found.samples).toBeGreaterThan(20);
    const measured = new Set([...readRecords(join(home, 'pair'))].map(({ explainer }) => explainer));
    expect([...measured]).toEqual(['oracle', 'random']);

    const short = { ...options, datasets: [fakeDataset(questions.slice(0, 8))] };
    const [open] = (await run('short', ['oracle', 'random'], short)).toldApart;
    expect(open).toMatchObject({ isCertain: false, samples: 8, available: 8 });
    const report = await readReport(join(home, 'short'), { resamples: 100 });
    expect(renderConsole(report)).toContain('All 8 samples were not enough');
  });

  test('misuse is refused before work starts', async () => {
    const refused = (explainers: readonly string[], options: object) =>
      expect(run('refused', explainers, { untilToldApart: until, ...options })).rejects;
    await refused(['random', 'oracle'], {}).toThrow(/at least 2/);
    await refused(['random', 'occlusion'], { shard: { index: 0, count: 2 } }).toThrow(/shard/);
    const unknown = { ...until, pair: ['random', 'rollout'] };
    await refused(['random', 'occlusion'], { untilToldApart: unknown }).toThrow(/rollout/);
    const certified = { ...until, guarantee: 'certified' };
    const settings = { scoring: 'log-probability' };
    await refused(['random', 'occlusion'], { untilToldApart: certified, settings }).toThrow(/bounds/);
    expect(() => text('refused', 'results.jsonl')).toThrow();
  });
});
