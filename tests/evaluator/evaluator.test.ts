import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { defaultFaithfulness, requestFaithfulness } from '../../lib/metrics/faithfulness.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { distance, leastMemory, loadTiny, prepare, tinyLlava } from './support.js';

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
});
afterAll(() => vlm.dispose());

/** Every combination of the first `images` and `texts` players, one present at a time. */
function grid(images: number, texts: number): CellTable {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const only = (players: number, one: number) => Array.from({ length: players }, (_, p) => p === one);
  for (let i = 0; i < images; i++) {
    for (let t = 0; t < texts; t++) {
      cells.cell(cells.imageState(only(cells.imagePlayers, i)), cells.textState(only(cells.textPlayers, t)));
    }
  }
  return cells;
}

describe('plan', () => {
  test('counts what the evaluation then does', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program());
    const cells = grid(5, 4);
    const plan = await evaluator.plan(cells);
    expect(plan).toMatchObject({
      cells: 20,
      cachedCells: 0,
      imageStates: 5,
      textStates: 4,
      prefixes: 5,
      suffixes: 20,
      fallbacks: [],
    });
    const tokens = sample.program().tokenIds.length;
    expect(plan.prefixTokens + plan.suffixTokens).toBe(tokens);
    expect(plan.prefixTokens).toBeGreaterThan(sample.imagePlayers.count);
    const done = await evaluator.evaluate(cells);
    expect(done.plan).toEqual(plan);
    expect(done.execution).toMatchObject({ halvings: [] });
    expect(done.execution!.visionRuns).toBeLessThanOrEqual(5);
    expect(done.execution!.prefixRuns).toBeLessThanOrEqual(5);
    expect(done.execution!.suffixRuns).toBeLessThanOrEqual(20);
  });

  test('all metrics of one explanation are 76 cells on 20 image states, each encoded once', async () => {
    const players = { image: sample.imagePlayers.count, text: sample.textPlayers.count };
    // Rankings with no coincidences between the two modalities need at least ten players each.
    expect(Math.min(players.image, players.text)).toBeGreaterThanOrEqual(10);
    const cells = new CellTable(players.image, players.text);
    const attribution = {
      image: Float64Array.from({ length: players.image }, (_, i) => Math.sin(i * 12.9)),
      text: Float64Array.from({ length: players.text }, (_, i) => Math.sin(i * 7.3)),
    };
    requestFaithfulness(cells, attribution, defaultFaithfulness);
    const { plan } = await sample.evaluate(cells);
    expect([plan.cells, plan.imageStates, plan.prefixes, plan.suffixes]).toEqual([76, 20, 20, 76]);
  });

  test('promises a peak within whatever budget it is given, or refuses', async () => {
    const program = sample.program();
    const { least } = (await (await CoalitionEvaluator.create(program)).plan(grid(2, 2))).bytes;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: Math.floor(least / 2), max: 64 * least }),
        fc.integer({ min: 1, max: 16 }),
        fc.integer({ min: 1, max: sample.imagePlayers.count + 1 }),
        fc.constantFrom('auto' as const, 'none' as const),
        async (memory, workers, images, sharing) => {
          const create = () => CoalitionEvaluator.create(program, { memory, workers, sharing });
          if (memory < least) {
            // Full passes alone may need less than the trial of two sequences on a prefix.
            if (sharing === 'auto') await expect(create()).rejects.toMatchObject({ code: 'BUDGET' });
            return;
          }
          const { bytes, workers: side, ...plan } = await (await create()).plan(grid(images, 10));
          // States that share no run are spread as far as they can be.
          const apart = sharing === 'auto' && plan.batches.vision === 1 && plan.batches.prefix === 1;
          if (apart) expect(plan.groups).toBe(plan.imageStates);
          expect(bytes.budget).toBe(memory);
          expect(bytes.peak).toBeGreaterThan(0);
          expect(bytes.peak).toBeLessThanOrEqual(memory);
          expect(side).toBeLessThanOrEqual(workers);
        },
      ),
      { numRuns: 100, seed: 31 },
    );
  });

  test('counts the memory of the sequences that there are, and of both sessions', async () => {
    const program = sample.program();
    const evaluator = await CoalitionEvaluator.create(program, { workers: 1 });
    const peaks = await Promise.all(
      [1, 2, 4, 8].map(async (texts) => (await evaluator.plan(grid(1, texts))).bytes.peak),
    );
    expect((await evaluator.plan(grid(1, 8))).batches.suffix).toBeGreaterThanOrEqual(8);
    for (const [i, peak] of peaks.slice(1).entries()) expect(peak).toBeGreaterThanOrEqual(peaks[i]);
    expect(peaks[3]).toBeGreaterThan(peaks[2]!);
    // Beyond the largest group, a batch has room that nothing fills: 8 of 43 sequences are not 43.
    expect((await evaluator.plan(grid(2, 4))).bytes.peak).toBe(peaks[2]);
    const wider = await CoalitionEvaluator.create({ ...program, visionTokens: 10_000 }, { workers: 1 });
    expect((await wider.plan(grid(1, 8))).bytes.peak).toBeGreaterThan(peaks[3]);
  });

  test('a budget too small for one sequence is refused before any work, with the smallest that would do', async () => {
    const program = sample.program();
    const { least } = (await (await CoalitionEvaluator.create(program)).plan(grid(2, 2))).bytes;
    await expect(CoalitionEvaluator.create(program, { memory: least - 1 })).rejects.toMatchObject({
      code: 'BUDGET',
      message: expect.stringContaining(`(${least} bytes)`),
    });
    const evaluator = await CoalitionEvaluator.create(program, { memory: least });
    expect((await evaluator.evaluate(grid(2, 2))).plan.bytes.peak).toBeLessThanOrEqual(least);
    const small = await loadVlm(tinyLlava, { memory: 1000 });
    await expect(prepare(small)).rejects.toMatchObject({ code: 'BUDGET' });
    small.dispose();
    await expect(loadVlm(tinyLlava, { memory: 0 })).rejects.toThrow(/memory/);
  });
});

describe('cache', () => {
  test('known cells are not run again, whoever asks', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program());
    const first = await evaluator.evaluate(grid(3, 3));
    const again = await evaluator.evaluate(grid(3, 3));
    expect(again.logProbabilities).toEqual(first.logProbabilities);
    expect(again.execution).toBeUndefined();
    expect(again.plan).toMatchObject({ cells: 9, cachedCells: 9, suffixes: 0, imageStates: 0 });
    const more = await evaluator.evaluate(grid(4, 3));
    expect(more.plan).toMatchObject({ cells: 12, cachedCells: 9, suffixes: 3, imageStates: 1 });
    expect(evaluator.cache).toMatchObject({ size: 12, hits: 18, misses: 12 });
  });

  test('memory bounds it and the oldest entries make room', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program(), { cacheMemory: 1500 });
    const { capacity } = evaluator.cache;
    expect(capacity).toBeGreaterThan(1);
    expect(capacity).toBeLessThan(9);
    const all = await evaluator.evaluate(grid(3, 3));
    expect(evaluator.cache.size).toBe(capacity);
    expect((await evaluator.evaluate(grid(3, 3))).logProbabilities).toEqual(all.logProbabilities);
  });

  test('failed work keeps what was done', async () => {
    // The last image state of this table is fine, but the pixels of a broken program give NaN for every
    // state.
    const program = sample.program();
    const broken = { ...program, baselinePixels: program.baselinePixels.map(() => Number.NaN) };
    const evaluator = await CoalitionEvaluator.create(broken, {
      workers: 1,
      memory: await leastMemory(program),
    });
    const cells = new CellTable(program.imagePlayers, program.textPlayers);
    const full = cells.imageState(new Uint8Array(program.imagePlayers).fill(1));
    const empty = cells.imageState(new Uint8Array(program.imagePlayers));
    const text = (k: number) => cells.textState(Array.from({ length: program.textPlayers }, (_, p) => p < k));
    for (const k of [0, 1, 2]) cells.cell(full, text(k));
    cells.cell(empty, text(0));
    await expect(evaluator.evaluate(cells)).rejects.toMatchObject({
      code: 'INFERENCE',
      message: expect.stringMatching(/not numbers.*3 of 4 cells were scored before and are kept/s),
    });
    expect(await evaluator.plan(cells)).toMatchObject({ cells: 4, cachedCells: 3, suffixes: 1 });
  });
});

describe('evaluate', () => {
  test('reports progress up to the total and leaves the event loop free', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program(), { workers: 1 });
    const seen: [number, number][] = [];
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await evaluator.evaluate(grid(16, 10), { onProgress: (done, total) => seen.push([done, total]) });
    clearInterval(timer);
    expect(seen.at(-1)).toEqual([160, 160]);
    expect(seen.length).toBeGreaterThan(1);
    for (let i = 1; i < seen.length; i++) expect(seen[i][0]).toBeGreaterThanOrEqual(seen[i - 1][0]);
    expect(ticks).toBeGreaterThan(3);
  });

  test('aborting rejects with the reason and leaves the evaluator usable', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program(), { workers: 2 });
    const controller = new AbortController();
    const reason = new Error('enough');
    const options = { signal: controller.signal, onProgress: () => controller.abort(reason) };
    await expect(evaluator.evaluate(grid(16, 10), options)).rejects.toBe(reason);
    const { logProbabilities } = await evaluator.evaluate(grid(2, 2));
    const plain = await sample.evaluatePlainly(grid(2, 2));
    expect(distance(logProbabilities, plain.logProbabilities)).toBeLessThan(1e-5);
  });

  test('what a progress callback throws is what the caller gets', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program());
    const thrown = new Error('from the callback');
    const onProgress = () => {
      throw thrown;
    };
    await expect(evaluator.evaluate(grid(4, 4), { onProgress })).rejects.toBe(thrown);
  });

  test('an empty table gives no scores', async () => {
    const empty = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
    expect((await sample.evaluate(empty)).logProbabilities).toHaveLength(0);
  });

  test('misuse is named', async () => {
    const program = sample.program();
    await expect(sample.evaluate(new CellTable(3, 2))).rejects.toThrow(
      /for cells but received "a table over 3 and 2"/,
    );
    await expect(CoalitionEvaluator.create(program, { workers: 0 })).rejects.toThrow(/workers/);
    await expect(CoalitionEvaluator.create(program, { memory: -1 })).rejects.toThrow(/memory/);
    const short = { ...program, pixels: program.pixels.slice(1) };
    await expect(CoalitionEvaluator.create(short)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const misnamed = { ...program, wiring: { ...program.wiring, mask: 'attention' } };
    await expect(CoalitionEvaluator.create(misnamed)).rejects.toMatchObject({ code: 'MODEL_CONTRACT' });
  });
});

test('a decoder without a cache is run in full passes and the plan says so', async () => {
  const program = sample.program();
  const evaluator = await CoalitionEvaluator.create({
    ...program,
    decoder: program.decoder,
    wiring: { ...program.wiring, caches: [] },
  });
  const plan = await evaluator.plan(grid(2, 2));
  expect(plan.fallbacks.map((fallback) => fallback.code)).toEqual(['no-cache']);
  expect(plan).toMatchObject({ prefixTokens: 0, prefixes: 0 });
});
