import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CellScores } from '../../lib/cells/scores.js';
import { CellTable } from '../../lib/cells/table.js';
import { audit } from '../../lib/cli/audit.js';
import { bench } from '../../lib/cli/bench.js';
import { report } from '../../lib/cli/report.js';
import { evaluate, explain } from '../../lib/measure/evaluate.js';
import { requestFaithfulness, scoreFaithfulness } from '../../lib/metrics/faithfulness.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { checkRecord } from '../../lib/report/record-check.js';
import { Random } from '../../lib/statistics/random.js';
import type { RgbImage, Vlm } from '../../lib/vlm/types.js';
import { runCommand } from '../cli/run-command.js';
import { aQuestion, openTiny, startServer, stopAll } from './serving.js';

/**
 * A game of 12 + 5 players whose cells have made-up values; each `every`-th of them is known within bounds.
 */
function game(every: number, noise = 0) {
  const random = new Random(3);
  const table = new CellTable(12, 5);
  const scores = (length: number) => Float64Array.from({ length }, () => random.uniform());
  const request = requestFaithfulness(table, { image: scores(12), text: scores(5) });
  const upper = Float64Array.from({ length: table.cellCount }, () => Math.log(0.05 + 0.9 * random.uniform()));
  const isOpen = (cell: number) => every > 0 && cell % every === 1;
  const lower = upper.map((value, cell) => (isOpen(cell) ? Number.NEGATIVE_INFINITY : value));
  const logProbabilities = upper.map((value, cell) => (isOpen(cell) ? value - Math.LN2 : value));
  const bounds = every > 0 ? { bounds: { lower, upper } } : {};
  const found: CellScores = {
    logProbabilities,
    tokens: 1,
    decision: 0,
    ...bounds,
    ...(noise > 0 ? { noise } : {}),
  };
  const open = [...upper.keys()].filter(isOpen);
  return { request, found, open, cells: table.cellCount };
}

describe('bounds of F_syn', () => {
  test('are its extremes over all ends of the cells that are not known', () => {
    const { request, found, open, cells } = game(7);
    expect(open.length).toBeGreaterThan(6);
    const of = (values: Float64Array) =>
      scoreFaithfulness(request, { logProbabilities: values, tokens: 1, decision: 0 });
    const all: { mean: number; insertion: number; deletion: number; imageSrg: number; textSrg: number }[] =
      [];
    for (let choice = 0; choice < 2 ** open.length; choice++) {
      const values = found.logProbabilities.slice();
      for (const [i, cell] of open.entries())
        values[cell] = ((choice >> i) & 1 ? found.bounds!.upper : found.bounds!.lower)[cell];
      const { synergy, image, text } = of(values);
      all.push({ ...synergy.raw, imageSrg: image.srg, textSrg: text.srg });
    }
    const { bounds, synergy } = scoreFaithfulness(request, found);
    for (const name of ['mean', 'insertion', 'deletion', 'imageSrg', 'textSrg'] as const) {
      // Sums of some dozens of float64 numbers below 1, in another order.
      expect(bounds![name].low).toBeCloseTo(Math.min(...all.map((one) => one[name])), 12);
      expect(bounds![name].high).toBeCloseTo(Math.max(...all.map((one) => one[name])), 12);
    }
    // What stands in the row is the middle.
    expect(synergy.raw.mean).toBeCloseTo((bounds!.mean.low + bounds!.mean.high) / 2, 12);
    expect(bounds!.mean.high - bounds!.mean.low).toBeGreaterThan(0.01);
    expect(bounds).toMatchObject({ bounded: open.length, cells, noise: 0, standardError: 0 });
  });

  test('noise gives the standard error of the gradient, and of drawn games', () => {
    const noise = 0.02;
    const { request, found } = game(0, noise);
    const { bounds } = scoreFaithfulness(request, found);
    const moved = (change: (value: number, cell: number) => number) =>
      scoreFaithfulness(request, { ...found, logProbabilities: found.logProbabilities.map(change) }).synergy
        .raw.mean;
    const step = 1e-6;
    const gradient = Array.from(found.logProbabilities.keys(), (cell) => {
      const shifted = (sign: number) =>
        moved((value, other) => (other === cell ? value + sign * step : value));
      return (shifted(1) - shifted(-1)) / (2 * step);
    });
    expect(bounds!.standardError).toBeCloseTo(noise * Math.hypot(...gradient), 8);
    expect(bounds!.mean.low).toBe(bounds!.mean.high);
    const random = new Random(5);
    const normal = () =>
      Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    const drawn = Array.from({ length: 2000 }, () => moved((value) => value + noise * normal()));
    const mean = drawn.reduce((sum, value) => sum + value, 0) / drawn.length;
    const deviation = Math.sqrt(drawn.reduce((sum, value) => sum + (value - mean) ** 2, 0) / drawn.length);
    // 2000 draws know a deviation to 1.6 %; the curvature of exp adds less.
    expect(Math.abs(deviation / bounds!.standardError - 1)).toBeLessThan(0.06);
  });

  test('there are none where all is exact, and log-probabilities of what may be 0 are refused', () => {
    const { request, found } = game(0);
    expect(scoreFaithfulness(request, found).bounds).toBeNull();
    const open = game(7);
    const log = {
      ...open.request,
      options: { ...open.request.options, scoring: 'log-probability' as const },
    };
    expect(() => scoreFaithfulness(log, open.found)).toThrow(
      `${open.open.length} of ${open.cells} cells are known within bounds`,
    );
  });
});

describe('a server that gives the likeliest tokens alone', () => {
  let vlm: Vlm;
  let question: string;
  let picture: RgbImage;
  const home = mkdtempSync(join(tmpdir(), 'fsyn-bounds-'));
  beforeAll(async () => {
    ({ vlm, question, picture } = await aQuestion());
  });
  afterAll(async () => {
    await stopAll(vlm);
    rmSync(home, { recursive: true });
  });

  test('gives bounds that hold what a server with all tokens gives, also from kept cells', async () => {
    const whole = await (await openTiny(await startServer(vlm, 'vllm'), { grid: 4 })).prepare(
      picture,
      question,
    );
    const server = await startServer(vlm, 'openai', { topK: 1 });
    const served = await openTiny(server, { grid: 4 });
    const few = await served.prepare(picture, question);
    const attribution = await explain(whole, 'occlusion');
    const [exact] = await evaluate(whole, [attribution]);
    const [{ bounds, synergy }] = await evaluate(few, [attribution]);
    expect(exact.bounds).toBeNull();
    expect(bounds!.bounded).toBeGreaterThan(5);
    expect(bounds!.bounded).toBeLessThan(bounds!.cells);
    for (const part of ['insertion', 'deletion', 'mean'] as const) {
      // Bounds are exact but for what the server rounds to float32.
      expect(bounds![part].low).toBeLessThanOrEqual(exact.synergy.raw[part] + 1e-5);
      expect(bounds![part].high).toBeGreaterThanOrEqual(exact.synergy.raw[part] - 1e-5);
      expect(synergy.raw[part]).toBeCloseTo((bounds![part].low + bounds![part].high) / 2, 9);
    }

    const kept = new Map<string, Float64Array>();
    const store = {
      find: (_: string, cell: string) => kept.get(cell),
      keep: (_: string, [cell]: readonly string[], scores: Float64Array) => void kept.set(cell, scores),
    };
    const table = new CellTable(few.imagePlayers.count, few.textPlayers.count);
    requestFaithfulness(table, attribution);
    const fresh = await served.prepare(picture, question);
    const first = await fresh.evaluate(table, { store });
    // A sample remembers what it has asked; another one, as of another process, finds what was kept.
    const before = server.requests;
    expect(await fresh.evaluate(table, { store })).toEqual({ ...first, found: 0 });
    const other = await served.prepare(picture, question);
    expect(await other.evaluate(table, { store })).toEqual({ ...first, found: table.cellCount });
    expect(server.requests - before).toBe(1);
  });

  test('rows, tables, page and CSV say within which bounds, and rows are checked', async () => {
    const server = await startServer(vlm, 'openai', { topK: 1 });
    const model = [
      '--model',
      `far=served:${server.url}/v1#llava-tiny`,
      '--served-side',
      '64',
      '--served-multiple',
      '8',
      '--served-grid',
      '4',
    ];
    const out = join(home, 'bench');
    const run = await runCommand(
      bench,
      ...model,
      '--dataset',
      'presence',
      '--limit',
      '2',
      '--explainers',
      'random,occlusion',
      '--sii-samples',
      '0',
      '--out',
      out,
    );
    expect(run.code).toBe(0);
    expect(run.out).toContain('F_syn raw within bounds');
    const rows = readFileSync(join(out, 'results.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as MeasuredRecord);
    expect(rows).toHaveLength(4);
    for (const { bounds, synergy } of rows) {
      expect(bounds!.mean.low).toBeLessThanOrEqual(synergy.raw.mean);
      expect(bounds!.mean.high).toBeGreaterThanOrEqual(synergy.raw.mean);
    }
    const bounded = rows.filter(({ bounds }) => bounds!.bounded > 0);
    expect(bounded.length).toBeGreaterThan(0);
    const broken = { ...bounded[0], bounds: { ...bounded[0].bounds!, mean: { low: 0, high: null } } };
    expect(() => checkRecord(broken as unknown as MeasuredRecord, 'row')).toThrow(/bounds.mean.high/);
    const occlusion = rows.filter(({ explainer }) => explainer === 'occlusion').map(({ bounds }) => bounds!);
    const cells = `${occlusion[0].bounded + occlusion[1].bounded} of ${occlusion[0].cells + occlusion[1].cells}`;
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain(cells);
    await runCommand(report, out, '--format', 'md,csv', '--resamples', '100');
    expect(readFileSync(join(out, 'report.md'), 'utf8')).toContain(cells);
    expect(readFileSync(join(out, 'report.csv'), 'utf8')).toMatch(
      /occlusion,,raw_within_bounds,[-\d.]+,[-\d.]+,[-\d.]+,2/,
    );
  });

  test('an audit of a served model counts as one of the cells, and names what bounds leave open', async () => {
    const options = [
      '--served-side',
      '64',
      '--served-multiple',
      '8',
      '--dataset',
      'presence',
      '--limit',
      '3',
    ];
    const clean = await startServer(vlm, 'vllm');
    const address = (url: string) => ['--model', `served:${url}/v1#llava-tiny`];
    const whole = await runCommand(
      audit,
      ...address(clean.url),
      ...options,
      '--out',
      join(home, 'audit'),
      '--json',
    );
    expect(whole.code).toBe(0);
    const rows = (name: string) =>
      readFileSync(join(home, name, 'audit.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map(
          (line) =>
            JSON.parse(line) as {
              status: string;
              bounded?: number;
              behaviour?: string;
              error?: { message: string };
            },
        );
    expect(rows('audit').map(({ status, bounded }) => [status, bounded])).toEqual(
      Array(3).fill(['ok', undefined]),
    );
    const few = await startServer(vlm, 'openai', { topK: 1 });
    await runCommand(audit, ...address(few.url), ...options, '--out', join(home, 'few'), '--json');
    const pairs = rows('few').map((row, i) => [row, rows('audit')[i]] as const);
    for (const [row, exact] of pairs) {
      if (row.status === 'ok') expect(row.behaviour).toBe(exact.behaviour);
      else expect(row.error!.message).toMatch(/left open, .* or .*no probability for/);
    }
    expect(pairs.some(([row]) => row.status === 'failed' || row.bounded !== undefined)).toBe(true);
  });
});
