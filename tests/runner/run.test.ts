import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FsynError } from '../../lib/errors.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { codeVersion } from '../../lib/package.js';
import { buildReport } from '../../lib/report/report.js';
import { mergeResults } from '../../lib/runner/merge.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { type Calls, fakeDataset, fakeModel } from './fake-model.js';

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'fsyn-run-'));
});
afterEach(() => rmSync(out, { recursive: true, force: true }));

const questions = Array.from({ length: 6 }, (_, i) => `a bb cc d${i}`);
const controls = findExplainers(['oracle', 'anti-oracle', 'random']);
const bytes = () => readFileSync(join(out, 'results.jsonl'), 'utf8');

function benchmark(options: Partial<Parameters<typeof runBenchmark>[0]> = {}, calls?: Calls) {
  return runBenchmark({
    models: [fakeModel(calls)],
    datasets: [fakeDataset(questions)],
    explainers: controls,
    out,
    ...options,
  });
}

describe('a benchmark run', () => {
  it('writes one row per sample and explainer, and ranks the controls of a known game', async () => {
    const outcome = await benchmark({ shapleySamples: 2 });
    expect(outcome.keys.size).toBe(18);
    const report = await buildReport(out, readRecords(out), 'rows', { resamples: 200 });
    const { explainers, accuracy } = report.models[0].overall;
    const synergy = Object.fromEntries(explainers.map((row) => [row.name, row.means.raw.estimate]));
    expect(synergy.oracle).toBeGreaterThan(synergy.random);
    expect(synergy.random).toBeGreaterThan(synergy['anti-oracle']);
    expect(explainers[0].shapley?.rows).toBe(2);
    expect(accuracy).toBe(1);
    // exp(-1) - exp(-3) on the joint cell from the first step that has both players on (text: round(.2 * 4) =
    // 1).
    const dividend = Math.exp(-1) - Math.exp(-3);
    const [row] = readRecords(out);
    expect(row.status === 'ok' && row.synergy.insertion[2]).toBeCloseTo(dividend, 12);
    // Oracle: 1 of 16 image players and 1 of 4 words stand out of zeros.
    expect(row).toMatchObject({ explainer: 'oracle', ties: { image: (15 * 14) / (16 * 15), text: 0.5 } });
  });

  it('keeps pictures of chosen samples for the report, whole after a kill', async () => {
    await benchmark({ gallerySamples: 2 });
    appendFileSync(join(out, 'gallery.jsonl'), '{"schema":1,"mod');
    await benchmark({ gallerySamples: 6, resume: true, explainers: findExplainers(['occlusion']) });
    const lines = readFileSync(join(out, 'gallery.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.sample)).toEqual(['q0', 'q3', 'q0', 'q1', 'q2', 'q3', 'q4', 'q5']);
    expect(lines[0]).toMatchObject({ model: 'fake', dataset: 'fake', width: 8, height: 8 });
    expect(lines[0].boxes).toHaveLength(64);
  });

  it('gives the same bytes for the same seed and other controls for another', async () => {
    await benchmark();
    const first = bytes();
    rmSync(join(out, 'results.jsonl'));
    await benchmark();
    expect(bytes()).toBe(first);
  });

  it('records what fails and goes on', async () => {
    const broken: Explainer = {
      ...controls[2],
      name: 'broken',
      attribute: async () => ({ image: new Float64Array(3), text: new Float64Array(4) }),
    };
    const nan: Explainer = {
      ...controls[2],
      name: 'nan',
      attribute: async () => ({ image: new Float64Array(16).fill(Number.NaN), text: new Float64Array(4) }),
    };
    const outcome = await benchmark({
      explainers: [broken, nan, controls[0]],
      datasets: [fakeDataset(['a bb cc', ''])],
    });
    expect(outcome.failed).toBe(5);
    const errors = [...readRecords(out)].map((row) => (row.status === 'failed' ? row.error.code : 'ok'));
    expect(errors).toEqual([
      'ATTRIBUTION',
      'ATTRIBUTION',
      'ok',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
      'INVALID_ARGUMENT',
    ]);
  });

  it('lets whole words decide, and single tokens in compatibility mode only', async () => {
    const rules: unknown[] = [];
    const model = fakeModel();
    const asked: Vlm = {
      ...model,
      prepare(image, question, options) {
        rules.push(options?.decisionRule);
        return model.prepare(image, question, options);
      },
    };
    const datasets = [fakeDataset(['a bb'])];
    await benchmark({ models: [asked], datasets });
    await benchmark({
      models: [asked],
      datasets,
      out: join(out, 'compat'),
      settings: { ...defaultSettings, compat: 'reference' },
    });
    expect(rules).toEqual(['words', 'published']);
  });

  it('counts batches that were halved for want of memory', async () => {
    const model = fakeModel();
    const halvings = [{ stage: 'suffix', from: 8, to: 4 }] as const;
    const outcome = await benchmark({
      models: [
        {
          ...model,
          async prepare(image, question, options) {
            const prepared = await model.prepare(image, question, options);
            const evaluate = async (...args: Parameters<typeof prepared.evaluate>) => ({
              ...(await prepared.evaluate(...args)),
              halvings,
            });
            return { ...prepared, evaluate };
          },
        },
      ],
    });
    expect(outcome.halvings).toBe(questions.length);
    const times = readFileSync(join(out, 'timings.jsonl'), 'utf8').trim().split('\n');
    for (const line of times) expect(JSON.parse(line).halvings).toBe(1);
  });

  it('stops at a memory budget that is too small, with the rows before it kept', async () => {
    const model = fakeModel();
    const prepare: typeof model.prepare = async (image, question, options) => {
      if (question.endsWith('d2')) throw new FsynError('BUDGET', 'A memory budget of 1 kB is too small.');
      return model.prepare(image, question, options);
    };
    await expect(benchmark({ models: [{ ...model, prepare }] })).rejects.toMatchObject({ code: 'BUDGET' });
    expect([...readRecords(out)].map(({ sample, status }) => `${sample} ${status}`)).toEqual(
      ['q0 ok', 'q1 ok'].flatMap((row) => [row, row, row]),
    );
    expect((await benchmark({ resume: true })).resumed).toBe(6);
  });

  it('refuses a folder with results unless it resumes', async () => {
    await benchmark();
    await expect(benchmark()).rejects.toMatchObject({
      code: 'RESULTS',
      message: expect.stringContaining('--resume'),
    });
  });
});

describe('resuming', () => {
  it('repeats nothing that is finished', async () => {
    await benchmark();
    const first = bytes();
    const calls = { prepared: 0, cells: 0 };
    const outcome = await benchmark({ resume: true }, calls);
    expect([calls.prepared, outcome.resumed, bytes() === first]).toEqual([0, 18, true]);
  });

  it('ends equal to an undisturbed run after a kill at any byte', async () => {
    await benchmark();
    const whole = bytes();
    const size = Buffer.byteLength(whole);
    for (const fraction of [0, 0.1, 0.37, 0.5, 0.77, 0.999]) {
      writeFileSync(join(out, 'results.jsonl'), whole);
      truncateSync(join(out, 'results.jsonl'), Math.floor(size * fraction));
      await benchmark({ resume: true });
      expect(bytes()).toBe(whole);
    }
  });

  it('keeps finished rows when aborted, and goes on to the same end', async () => {
    await benchmark();
    const whole = bytes();
    rmSync(join(out, 'results.jsonl'));
    const abort = new AbortController();
    const stopped = benchmark({
      signal: abort.signal,
      onProgress: ({ done }) => {
        if (done === 3) abort.abort(new Error('stop'));
      },
    });
    await expect(stopped).rejects.toThrow('stop');
    expect(bytes().split('\n')).toHaveLength(3 * 3 + 1);
    await benchmark({ resume: true });
    expect(bytes()).toBe(whole);
  });

  it('runs failed rows again only when asked', async () => {
    const datasets = [fakeDataset(['a bb', ''])];
    await benchmark({ datasets });
    const kept = await benchmark({ datasets, resume: true });
    expect([kept.resumed, kept.failed]).toEqual([6, 3]);
    const retried = await benchmark({ datasets, resume: true, retryFailed: true });
    expect([retried.resumed, retried.failed]).toEqual([3, 3]);
    expect([...readRecords(out)]).toHaveLength(6);
  });

  it('counts failed rows of its own run only', async () => {
    const datasets = [fakeDataset(['a bb', ''])];
    expect((await benchmark({ datasets })).failed).toBe(3);
    const other = await benchmark({ resume: true, settings: { ...defaultSettings, seed: 7 } });
    expect([other.keys.size, other.failed, other.resumed]).toEqual([18, 0, 0]);
    const again = await benchmark({ datasets, resume: true });
    expect([again.keys.size, again.failed, again.resumed]).toEqual([6, 3, 6]);
  });

  it('refuses to go on with rows of other code, and finds rows of the same', async () => {
    const versions = { fsyn: '1.0.0', code: '000000000001', onnxruntime: '1.2.3' };
    await benchmark({ versions });
    const [row] = readRecords(out);
    expect(row.versions).toEqual(versions);
    const before = bytes();
    await expect(
      benchmark({ versions: { ...versions, code: '000000000002' }, resume: true }),
    ).rejects.toThrow(
      /measured with fsyn 1\.0\.0, code 000000000001, onnxruntime 1\.2\.3; this is fsyn 1\.0\.0, code 000000000002/u,
    );
    expect(bytes()).toBe(before);
    expect((await benchmark({ versions, resume: true })).resumed).toBe(18);
  });

  it('names the code that runs in rows and keys unless told otherwise', async () => {
    await benchmark();
    const [row] = readRecords(out);
    expect(row.versions.code).toBe(codeVersion());
    await benchmark({ out: join(out, 'other'), versions: { ...row.versions, code: 'another' } });
    const [other] = readRecords(join(out, 'other'));
    expect(other.key).not.toBe(row.key);
  });

  it('refuses rows of another version, by file and line, and counts them', async () => {
    await benchmark();
    appendFileSync(join(out, 'results.jsonl'), '{"schema":99}\n{"schema":99}\n{"schema":2}\n');
    const reason =
      /results\.jsonl:19 has result version 99, expected 1\. Of its 21 rows by version, 1: 18, 99: 2, 2: 1/;
    await expect(benchmark({ resume: true })).rejects.toThrow(reason);
    expect(() => mergeResults([out], join(out, 'merged'))).toThrow(reason);
    expect(() => [...readRecords(out)]).toThrow(reason);
  });
});

describe('samples with the Shapley interaction index', () => {
  const datasets = [fakeDataset(questions, ['grounded', 'text-prior', 'image-prior'])];
  const withIndex = async (folder: string, options: Partial<Parameters<typeof runBenchmark>[0]>) => {
    await benchmark({ datasets, out: folder, ...options });
    const rows = [...readRecords(folder)].filter((row) => row.status === 'ok' && row.shapley !== null);
    return [...new Set(rows.map(({ sample }) => sample))].toSorted();
  };

  it('are the grounded ones, of which every third is one here, before those of one modality', async () => {
    expect(await withIndex(join(out, 'one'), { shapleySamples: 1 })).toEqual(['q3']);
    expect(await withIndex(join(out, 'two'), { shapleySamples: 2 })).toEqual(['q0', 'q3']);
    // Then one of each kind by the hash: q4 comes before q1, q2 before q5.
    expect(await withIndex(join(out, 'four'), { shapleySamples: 4 })).toEqual(['q0', 'q2', 'q3', 'q4']);
    expect(await withIndex(join(out, 'all'), { shapleySamples: 9 })).toHaveLength(6);
    expect(await withIndex(join(out, 'none'), { shapleySamples: 0 })).toEqual([]);
  });

  it('are the same in every shard and the pictures hold every kind', async () => {
    const found: string[] = [];
    for (const index of [0, 1, 2])
      found.push(
        ...(await withIndex(join(out, `part${index}`), { shapleySamples: 2, shard: { index, count: 3 } })),
      );
    expect(found.toSorted()).toEqual(['q0', 'q3']);
    await benchmark({ datasets, out: join(out, 'pictures'), gallerySamples: 3 });
    const lines = readFileSync(join(out, 'pictures', 'gallery.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => Number(JSON.parse(line).sample.slice(1)) % 3).toSorted()).toEqual([0, 1, 2]);
  });
});

describe('shards', () => {
  it('merged equal one unsharded run after sorting, SII rows included', async () => {
    const sorted = (text: string) => text.split('\n').sort().join('\n');
    await benchmark({ shapleySamples: 2 });
    const whole = bytes();
    // Sixteen parts of six samples: most have no rows.
    const parts = Array.from({ length: 16 }, (_, index) => join(out, `part${index}`));
    for (const [index, part] of parts.entries()) {
      await benchmark({ out: part, shapleySamples: 2, shard: { index, count: 16 } });
    }
    const merged = mergeResults(parts, join(out, 'merged'));
    expect(merged).toEqual({ rows: 18, repeated: 0, damaged: 0 });
    expect(sorted(readFileSync(join(out, 'merged', 'results.jsonl'), 'utf8'))).toBe(sorted(whole));
    expect(mergeResults([...parts, parts[0]], join(out, 'again'))).toEqual({
      rows: 18,
      repeated: 3,
      damaged: 0,
    });
  });

  it('merge their pictures and times, too, and leave torn lines behind', async () => {
    const parts = [0, 1].map((index) => join(out, `part${index}`));
    for (const [index, part] of parts.entries()) {
      await benchmark({ out: part, gallerySamples: 6, shard: { index, count: 2 } });
      appendFileSync(join(part, 'timings.jsonl'), '{"model":"fa');
    }
    mergeResults(parts, join(out, 'merged'));
    const lines = (name: string) =>
      readFileSync(join(out, 'merged', name), 'utf8')
        .trimEnd()
        .split('\n');
    for (const name of ['gallery.jsonl', 'timings.jsonl']) {
      const samples = lines(name).map((line) => JSON.parse(line).sample);
      expect(samples).toEqual(['q0', 'q2', 'q4', 'q1', 'q3', 'q5']);
    }
  });

  it('of different runs are refused by name and field, and half a merge is not left', async () => {
    const parts = ['a', 'b', 'c', 'd'].map((name) => join(out, name));
    await benchmark({ out: parts[0] });
    await benchmark({ out: parts[1], settings: { ...defaultSettings, seed: 1 } });
    await benchmark({ out: parts[2] });
    await benchmark({ out: parts[3], datasets: [fakeDataset(['a bb'])], versions: { fsyn: '9' } });
    const merged = join(out, 'merged');
    expect(() => mergeResults(parts, merged)).toThrow(
      `2 of 4 folders were not run like ${parts[0]}, so their rows do not belong together: ${parts[1]} (settings); ${parts[3]} (datasets, versions).`,
    );
    appendFileSync(join(parts[2], 'results.jsonl'), '{"schema":2}\n');
    expect(() => mergeResults([parts[0], parts[2]], merged)).toThrow(/result version 2/);
    expect(existsSync(join(merged, 'results.jsonl'))).toBe(false);
    expect(mergeResults([parts[0]], merged).rows).toBe(18);
  });

  it('refuse an index that is no part', async () => {
    await expect(benchmark({ shard: { index: 4, count: 4 } })).rejects.toThrow(
      /an integer from 0 to 3 for shard.index/,
    );
  });
});

describe('misuse', () => {
  it('throws before anything is written', async () => {
    rmSync(out, { recursive: true });
    await expect(benchmark({ explainers: [] })).rejects.toThrow(/at least one of explainers/);
    await expect(benchmark({ speed: 3 } as never)).rejects.toThrow(/Unknown option "speed"/);
    expect(existsSync(out)).toBe(false);
  });
});
