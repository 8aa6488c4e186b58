import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { sharedPrefixLength } from '../../lib/inference/program.js';
import { attentionWindow } from '../../lib/vlm/decoder/program.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { cellsOf, loadTiny, prepare, table } from './support.js';

// Removed tokens are attended by none: sequences on a shared prefix are run without them. That values equal
// full passes with the tokens in place is tested in equality.test.ts and fallbacks.test.ts.

let vlm: Vlm;
let sample: DecoderSample;
beforeAll(async () => {
  vlm = await loadTiny();
  sample = await prepare(vlm);
});
afterAll(() => vlm.dispose());

/** Tokens behind the prefix of every cell, summed: all of them, and those that are there. */
function counted(cells: CellTable): { readonly all: number; readonly present: number } {
  const program = sample.program();
  const own = program.tokenIds.length - sharedPrefixLength(program);
  const texts = cells.textMasks();
  let present = 0;
  for (let cell = 0; cell < cells.cellCount; cell++) {
    const text = cells.pairs()[2 * cell + 1];
    const state = texts.subarray(text * cells.textPlayers, (text + 1) * cells.textPlayers);
    present += own - state.filter((player) => player === 0).length;
  }
  return { all: cells.cellCount * own, present };
}

describe('the plan', () => {
  test('counts tokens that are run, padding among them, and those that are spared', async () => {
    const evaluator = await CoalitionEvaluator.create(sample.program());
    await fc.assert(
      fc.asyncProperty(cellsOf(sample, 60), async (cells) => {
        const { all, present } = counted(cells);
        const { suffixWork } = await evaluator.plan(cells);
        expect(suffixWork.withRemoved).toBe(all);
        expect(suffixWork.tokens - suffixWork.padding).toBe(present);
        const done = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
        expect(done.execution!.suffixRuns).toBe(suffixWork.runs);
      }),
      { numRuns: 20, seed: 61 },
    );
  });

  test('one by one nothing is padded, and sequences that are equally long never are', async () => {
    const cells = fc.sample(cellsOf(sample, 60), { seed: 62, numRuns: 1 })[0];
    const program = sample.program();
    const { least } = (await (await CoalitionEvaluator.create(program)).plan(cells)).bytes;
    const small = await (await CoalitionEvaluator.create(program, { memory: least })).plan(cells);
    expect(small.suffixWork).toEqual({
      runs: cells.cellCount,
      tokens: counted(cells).present,
      padding: 0,
      withRemoved: counted(cells).all,
    });
    const equal = table(
      sample,
      Array.from({ length: 6 }, (_, k) => ({
        image: Array.from({ length: sample.imagePlayers.count }, (_, p) => p % 2 === 0),
        text: Array.from({ length: sample.textPlayers.count }, (_, p) => p !== k),
      })),
    );
    const plan = await (await CoalitionEvaluator.create(program)).plan(equal);
    expect(plan.suffixWork.padding).toBe(0);
    expect(plan.suffixWork.runs).toBeLessThan(6);
  });

  test('operations shrink with the tokens', async () => {
    const cells = fc.sample(cellsOf(sample, 60), { seed: 63, numRuns: 1 })[0];
    const removed = await (await CoalitionEvaluator.create(sample.program())).plan(cells);
    const attended = await CoalitionEvaluator.create(
      (await prepare(vlm, { textMasking: 'attend' })).program(),
    );
    const kept = await attended.plan(cells);
    expect(kept.suffixWork).toMatchObject({ padding: 0, tokens: kept.suffixWork.withRemoved });
    expect(removed.suffixWork.tokens).toBeLessThan(kept.suffixWork.tokens);
    expect(removed.flops!.suffix).toBeLessThan(kept.flops!.suffix);
    expect(removed.flops!.prefix).toBe(kept.flops!.prefix);
  });
});

test('an image state without any word is one run of the tokens behind the words', async () => {
  const cells = table(sample, [
    { image: Array(sample.imagePlayers.count).fill(true), text: Array(sample.textPlayers.count).fill(false) },
  ]);
  const { plan } = await (await CoalitionEvaluator.create(sample.program())).evaluate(cells);
  expect(plan.suffixWork).toMatchObject({ runs: 1, tokens: plan.suffixTokens - sample.textPlayers.count });
});

test('the attention window is what the configuration of the text model says', () => {
  expect(attentionWindow({ text_config: { sliding_window: 4096 }, sliding_window: 7 })).toEqual({
    attentionWindow: 4096,
  });
  expect(attentionWindow({ sliding_window: 4096 })).toEqual({ attentionWindow: 4096 });
  for (const config of [
    {},
    { text_config: { sliding_window: null } },
    { sliding_window: 32768, use_sliding_window: false },
    { text_config: { sliding_window: 32768, use_sliding_window: false } },
  ]) {
    expect(attentionWindow(config)).toEqual({});
  }
});
