import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/metrics/cells.js';
import type { DecoderSample } from '../../lib/vlm/decoder-sample.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';

interface Golden {
  blurRadiusRelative: number;
  samples: {
    id: string;
    image: string;
    question: string;
    answer: string;
    choices: string[] | null;
    prompt: string;
    promptIds: number[];
    questionPositions: number[];
    answerIds: number[];
    cells: { image: string; text: string }[];
    remove: number[][];
    attend: number[][];
  }[];
}

const model = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const folder = fileURLToPath(new URL('../golden/', import.meta.url));
const file = `${folder}llava-tiny-cells.json`;
const there = existsSync(model) && existsSync(file);
if (!there)
  console.log('llava-tiny test skipped: the embedded model or its golden cells are not in this checkout.');
const golden: Golden = there
  ? (JSON.parse(readFileSync(file, 'utf8')) as Golden)
  : { blurRadiusRelative: 1, samples: [] };

describe.skipIf(!there)('llava-tiny against an independent PyTorch evaluation', () => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(model);
  });
  afterAll(() => vlm?.dispose());

  describe.each(golden.samples)('$id: $question', (wanted) => {
    const prepare = async (textMasking: 'remove' | 'attend'): Promise<PreparedSample> =>
      vlm.prepare(await decodeImage(`${folder}${wanted.image}`), wanted.question, {
        answer: wanted.answer,
        answerTokens: 'all',
        blurRadius: golden.blurRadiusRelative,
        textMasking,
        ...(wanted.choices === null ? {} : { choices: wanted.choices }),
      });

    it('has the prompt, its ids, the question tokens and the answer tokens', async () => {
      const sample = await prepare('remove');
      expect(sample.prompt).toBe(wanted.prompt);
      const { tokenIds, promptLength } = (sample as DecoderSample).whiteBox;
      expect(Array.from(tokenIds.subarray(0, promptLength))).toEqual(wanted.promptIds);
      expect(Array.from(sample.textPlayers.positions)).toEqual(wanted.questionPositions);
      // The golden answer ends with the end token, which a given answer does not have.
      expect(Array.from(sample.answer.tokenIds)).toEqual(wanted.answerIds.slice(0, -1));
    });

    it.each(['remove', 'attend'] as const)('scores every cell (%s)', async (masking) => {
      const sample = await prepare(masking);
      const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
      const state = (bits: string): number[] => Array.from(bits, Number);
      const cells = wanted.cells.map(({ image, text }) =>
        table.cell(table.imageState(state(image)), table.textState(state(text))),
      );
      for (const scores of [
        await sample.evaluate(table),
        await (sample as DecoderSample).evaluatePlainly(table),
      ]) {
        for (const [i, cell] of cells.entries()) {
          for (let k = 0; k < scores.tokens; k++) {
            const wantedScore = wanted[masking][i][k];
            const score = scores.logProbabilities[cell * scores.tokens + k];
            // The value of a game is a probability. Log-probabilities of -10 and below are differences of large logits,
            // which float32 leaves a few 1e-5 apart between runtimes.
            expect(Math.abs(Math.exp(score) - Math.exp(wantedScore))).toBeLessThan(1e-5);
            expect(Math.abs(score - wantedScore)).toBeLessThan(1e-4);
          }
        }
      }
    });
  });
});
