import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { sharedPrefixLength } from '../../lib/inference/program.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { fullPasses } from './full-pass.js';
import { distance, leastMemory, loadTiny, prepare } from './support.js';
import { troubled } from './troubled-decoder.js';

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
});
afterAll(() => vlm.dispose());

/** `images` x `texts` cells; text state k lacks the first k players. */
function cellsOf(images: number, texts: number): CellTable {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (let i = 0; i < images; i++) {
    const image = cells.imageState(Array.from({ length: cells.imagePlayers }, (_, p) => p !== i));
    for (let t = 0; t < texts; t++) {
      cells.cell(image, cells.textState(Array.from({ length: cells.textPlayers }, (_, p) => p >= t)));
    }
  }
  return cells;
}

/** Cells are run one by one, so that what a call ran can be counted. */
async function oneByOne(program = sample.program()): Promise<CoalitionEvaluator> {
  return CoalitionEvaluator.create(program, { workers: 1, memory: await leastMemory(program) });
}

describe('what was done before an end is kept', () => {
  test.each([1, 7, 23])('aborted after %d of 24 cells, a second call runs the others', async (after) => {
    const cells = cellsOf(4, 6);
    const whole = await (await oneByOne()).evaluate(cells);
    const evaluator = await oneByOne();
    const controller = new AbortController();
    const reason = new Error('enough');
    let seen = 0;
    const aborted = evaluator.evaluate(cells, {
      signal: controller.signal,
      onProgress: (done) => {
        seen = done;
        if (done >= after) controller.abort(reason);
      },
    });
    await expect(aborted).rejects.toBe(reason);
    const kept = evaluator.cache.size;
    expect(kept).toBeGreaterThanOrEqual(seen);
    const second = await evaluator.evaluate(cells);
    expect(second.plan).toMatchObject({ cachedCells: kept, suffixes: 24 - kept });
    expect(second.execution?.suffixRuns ?? 0).toBe(24 - kept);
    expect(second.logProbabilities).toEqual(whole.logProbabilities);
  });

  test('thrown from the progress callback', async () => {
    const evaluator = await oneByOne();
    const thrown = new Error('from the callback');
    const onProgress = (done: number) => {
      if (done >= 3) throw thrown;
    };
    await expect(evaluator.evaluate(cellsOf(4, 6), { onProgress })).rejects.toBe(thrown);
    expect(evaluator.cache.size).toBeGreaterThanOrEqual(3);
    expect((await evaluator.plan(cellsOf(4, 6))).cachedCells).toBe(evaluator.cache.size);
  });

  test.each([
    ['failure', 'INFERENCE'],
    ['memory', 'OUT_OF_MEMORY'],
  ] as const)('a session that ends in %s at one sequence', async (kind, code) => {
    const program = sample.program();
    const players = sample.textPlayers.count;
    expect(players).toBeGreaterThan(10);
    // Text state k lacks k players, whose tokens are not run; the trial of the decoder takes half of them
    // out.
    const removed = Math.ceil(players / 2) + 2;
    const tokens = program.tokenIds.length - sharedPrefixLength(program) - removed;
    const evaluator = await oneByOne(await troubled(program, { kind, tokens }));
    const cells = cellsOf(1, removed + 2);
    const failing = await evaluator.evaluate(cells).catch((error: unknown) => error);
    expect(failing).toMatchObject({
      code,
      message: expect.stringMatching(/of \d+ cells were scored before and are kept/),
    });
    const kept = evaluator.cache.size;
    expect(kept).toBe(removed);
    const plain = await fullPasses(program, cellsOf(1, kept));
    const again = await evaluator.evaluate(cellsOf(1, kept));
    expect(again.execution).toBeUndefined();
    expect(distance(again.logProbabilities, plain)).toBeLessThan(1e-5);
  });
});

describe('out of memory', () => {
  test('halves the batch, goes on and says so', async () => {
    const program = sample.program();
    const evaluator = await CoalitionEvaluator.create(await troubled(program, { kind: 'memory', batch: 3 }), {
      workers: 1,
    });
    const cells = cellsOf(3, 9);
    const { plan, execution, halvings, logProbabilities } = await evaluator.evaluate(cells);
    expect(plan.batches.suffix).toBeGreaterThan(4);
    const suffixes = execution!.halvings.filter(({ stage }) => stage === 'suffix');
    expect(suffixes.length).toBeGreaterThan(0);
    for (const { from, to } of suffixes) expect(to).toBe(Math.floor(from / 2));
    expect(suffixes.some(({ to }) => to <= 2)).toBe(true);
    expect(halvings).toEqual(execution!.halvings);
    expect(distance(logProbabilities, await fullPasses(program, cells))).toBeLessThan(1e-5);
  });
});
