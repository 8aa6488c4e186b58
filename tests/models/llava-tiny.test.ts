import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMBEDDED_MASKING, embeddedDataset } from '../../bench/datasets/embedded/dataset.js';
import { CellTable } from '../../lib/metrics/cells.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';

interface GoldenSample {
  id: string;
  image: string;
  blurred: string;
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
}

const folder = fileURLToPath(new URL('../golden/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}llava-tiny-cells.json`, 'utf8')) as {
  samples: GoldenSample[];
};
const directory = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const bits = (text: string) => Array.from(text, Number);

describe('llava-tiny', () => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(directory);
  });
  afterAll(() => vlm.dispose());

  describe.each(golden.samples)('$question', (wanted) => {
    it('has the token ids that Python gives, every word of the question one token', async () => {
      const sample = await vlm.prepare(
        await decodeImage(folder + wanted.image),
        wanted.question,
        EMBEDDED_MASKING,
      );
      expect(sample.prompt).toBe(wanted.prompt);
      const { tokenIds, promptLength } = sample.whiteBox!;
      expect(Array.from(tokenIds.subarray(0, promptLength))).toEqual(wanted.promptIds);
      expect(Array.from(sample.textPlayers.positions)).toEqual(wanted.questionPositions);
      expect(sample.imagePlayers).toMatchObject({ count: 64, rows: 8, columns: 8 });
      expect(sample.textPlayers.labels.map((label) => label.trim())).toEqual(
        wanted.question.match(/\w+|\?/g),
      );
    });

    it.each(['remove', 'attend'] as const)('scores cells as PyTorch does (%s)', async (textMasking) => {
      const sample = await vlm.prepare(await decodeImage(folder + wanted.image), wanted.question, {
        ...EMBEDDED_MASKING,
        textMasking,
        answer: wanted.answer,
        answerTokens: 'all',
        ...(wanted.choices ? { choices: wanted.choices } : {}),
      });
      const table = new CellTable(64, sample.textPlayers.count);
      const cells = wanted.cells.map(({ image, text }) =>
        table.cell(table.imageState(bits(image)), table.textState(bits(text))),
      );
      const { logProbabilities, tokens, decision } = await sample.evaluate(table);
      expect(decision).toBe(0);
      for (const [i, cell] of cells.entries()) {
        const expected = wanted[textMasking][i]?.[0] as number;
        const given = logProbabilities[cell * tokens] as number;
        // Probabilities are what metrics use: float32 on two runtimes, 1e-5 absolute.
        expect(Math.abs(Math.exp(given) - Math.exp(expected)), `cell ${i}`).toBeLessThan(1e-5);
        // Log-probabilities reach -15 and more, where float32 sums of 350 exponentials differ in the fifth digit.
        expect(Math.abs(given - expected), `cell ${i}`).toBeLessThan(2e-5 + 1e-5 * Math.abs(expected));
      }
    });
  });

  it('answers held-out presence questions of every grounding', async () => {
    let right = 0;
    const size = 60;
    const data = embeddedDataset({
      families: ['presence'],
      groundings: ['grounded', 'text-prior', 'image-prior'],
      size,
      seed: 99,
    });
    for await (const { image, question, answer } of data.samples()) {
      const sample = await vlm.prepare(await image(), question, EMBEDDED_MASKING);
      if (sample.answer.text.trim() === answer) right++;
    }
    expect(right).toBeGreaterThanOrEqual(size * 0.95);
  });
});
