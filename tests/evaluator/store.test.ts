import { availableParallelism } from 'node:os';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CellStore } from '../../lib/cells/scores.js';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator, defaultBudget } from '../../lib/inference/evaluator.js';
import { choosePath } from '../../lib/inference/path.js';
import { makeSchedule } from '../../lib/inference/schedule.js';
import { modelSizes } from '../../lib/inference/sizes.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { cellsOf, distance, leastMemory, loadTiny, prepare } from './support.js';

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
});
afterAll(() => vlm.dispose());

/** Remembers what it is told, and finds what it has learnt. */
class Memory implements CellStore {
  readonly calls: {
    readonly program: string;
    readonly cells: readonly string[];
    readonly scores: Float64Array;
  }[] = [];
  readonly #known = new Map<string, Float64Array>();

  /** Takes over the cells that are wanted by their number, in the order in which they were told. */
  learn(from: Memory, wanted: (number: number) => boolean): this {
    let number = 0;
    for (const { program, cells, scores } of from.calls) {
      const tokens = scores.length / cells.length;
      for (const [i, cell] of cells.entries())
        if (wanted(number++)) this.#known.set(program + cell, scores.slice(i * tokens, (i + 1) * tokens));
    }
    return this;
  }

  get size(): number {
    return this.#known.size;
  }

  get kept(): number {
    return this.calls.reduce((sum, { cells }) => sum + cells.length, 0);
  }

  find(program: string, cell: string): Float64Array | undefined {
    return this.#known.get(program + cell);
  }

  keep(program: string, cells: readonly string[], scores: Float64Array): void {
    this.calls.push({ program, cells, scores });
  }
}

const fresh = (changes = {}) =>
  CoalitionEvaluator.create({ ...sample.program(), ...changes }, { workers: 1 });

/** Text state k lacks the first k players, image state i the i-th. */
function grid(images: number, texts: number): CellTable {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (let i = 0; i < images; i++) {
    const image = cells.imageState(Array.from({ length: cells.imagePlayers }, (_, p) => p !== i));
    for (let t = 0; t < texts; t++)
      cells.cell(image, cells.textState(Array.from({ length: cells.textPlayers }, (_, p) => p >= t)));
  }
  return cells;
}

async function runEnds(cells: CellTable): Promise<number[]> {
  const program = sample.program();
  const { mode, fallbacks } = await choosePath(program);
  const wanted = Int32Array.from({ length: cells.cellCount }, (_, cell) => cell);
  const { native } = makeSchedule(program, cells, wanted, {
    mode,
    fallbacks,
    workers: 1,
    memory: defaultBudget(),
    shares: availableParallelism(),
    sizes: modelSizes(program),
  });
  return [...native.runOffsets];
}

test('after any number of finished batches only the others are run, and every byte is the same', async () => {
  const cells = grid(12, 9);
  const all = new Memory();
  const whole = await (await fresh()).evaluate(cells, { store: all });
  expect(whole).toMatchObject({ found: 0 });
  expect(all.kept).toBe(108);
  // One worker goes through the groups in order, and through each group run by run.
  const ends = await runEnds(cells);
  expect(ends.at(-1)).toBe(108);
  expect(ends.length - 1).toBe(whole.plan.suffixWork.runs);
  expect(whole.plan.suffixWork.padding).toBeGreaterThan(0);
  expect(ends.length).toBeGreaterThan(6);
  for (const end of ends) {
    const store = new Memory().learn(all, (number) => number < end);
    let last = [0, 0];
    const resumed = await (await fresh()).evaluate(cells, {
      store,
      onProgress: (done, total) => {
        last = [done, total];
      },
    });
    expect(resumed.logProbabilities).toEqual(whole.logProbabilities);
    expect([resumed.found, store.kept]).toEqual([end, 108 - end]);
    expect(last).toEqual([108, 108]);
    expect(resumed.execution === undefined).toBe(end === 108);
  }
});

test('any cells may be known: the others are the same up to rounding', async () => {
  await fc.assert(
    fc.asyncProperty(cellsOf(sample), fc.integer(), async (cells, seed) => {
      const all = new Memory();
      const whole = await (await fresh()).evaluate(cells, { store: all });
      let state = seed >>> 0;
      const store = new Memory().learn(all, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 31 === 1;
      });
      const resumed = await (await fresh()).evaluate(cells, { store });
      expect(resumed.found + store.kept).toBe(cells.cellCount);
      expect(distance(resumed.logProbabilities, whole.logProbabilities)).toBeLessThan(1e-5);
    }),
    { numRuns: 20, seed: 9 },
  );
});

test('cells of other content are not taken', async () => {
  const cells = grid(2, 3);
  const all = new Memory();
  await (await fresh()).evaluate(cells, { store: all });
  const store = new Memory().learn(all, () => true);
  const program = sample.program();
  const changed = (values: Float32Array) => values.map((value, i) => (i === 17 ? value + 1 : value));
  const ids = program.tokenIds.slice();
  ids[ids.length - 1] ^= 1;
  for (const changes of [
    { pixels: changed(program.pixels) },
    { baselinePixels: changed(program.baselinePixels) },
    { tokenIds: ids },
    { textMasking: 'attend' as const },
    { targets: program.targets.map((target) => target ^ 1) },
    { modelContent: 'another model' },
  ]) {
    expect((await (await fresh(changes)).evaluate(cells, { store })).found).toBe(0);
  }
  expect((await (await fresh()).evaluate(cells, { store })).found).toBe(6);
  await expect((await fresh({ modelContent: undefined })).evaluate(cells, { store })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
});

test('what was scored before an abort is in the store', async () => {
  const store = new Memory();
  const controller = new AbortController();
  const evaluator = await CoalitionEvaluator.create(sample.program(), {
    workers: 1,
    memory: await leastMemory(sample.program()),
  });
  const aborted = evaluator.evaluate(grid(4, 6), {
    store,
    signal: controller.signal,
    onProgress: (done) => {
      if (done >= 5) controller.abort();
    },
  });
  await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  expect(store.kept).toBe(evaluator.cache.size);
  expect(store.kept).toBeGreaterThanOrEqual(5);
});
