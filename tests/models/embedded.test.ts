import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { EMBEDDED_MASKING, embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { FAMILIES } from '../../lib/datasets/embedded/questions.js';
import { embeddedModels } from '../../lib/runner/models.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';

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
    /**
     * Largest difference of a probability between PyTorch in float32 and these values, which are in float64.
     */
    float32Spread: number;
  }[];
}

const folder = fileURLToPath(new URL('../golden/embedded/', import.meta.url));
const bits = (text: string): number[] => Array.from(text, Number);

it('has golden values for every embedded model', () => {
  const golden = readdirSync(folder).filter((name) => name.endsWith('.json'));
  expect(golden.sort()).toEqual([...embeddedModels().keys()].map((name) => `${name}.json`).sort());
});

describe.each([...embeddedModels()])('%s against an independent PyTorch evaluation', (name, directory) => {
  const golden = JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')) as Golden;
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(directory);
  });
  afterAll(() => vlm?.dispose());

  it('masks as the training did', () => {
    expect(EMBEDDED_MASKING).toMatchObject({ blurRadius: golden.blurRadiusRelative, blurUnit: 'relative' });
  });

  describe.each(golden.samples)('$question', (wanted) => {
    const prepare = async (textMasking: 'remove' | 'attend'): Promise<DecoderSample> =>
      (await vlm.prepare(await decodeImage(folder + wanted.image), wanted.question, {
        ...EMBEDDED_MASKING,
        answer: wanted.answer,
        answerTokens: 'all',
        textMasking,
        ...(wanted.choices === null ? {} : { choices: wanted.choices }),
      })) as DecoderSample;

    it('has the token ids that Python gives, every word of the question one token', async () => {
      const sample = await prepare('remove');
      const { tokenIds, promptLength } = sample.whiteBox;
      expect(Array.from(tokenIds.subarray(0, promptLength))).toEqual(wanted.promptIds);
      expect(Array.from(sample.textPlayers.positions)).toEqual(wanted.questionPositions);
      // The golden answer ends with the end token, which a given answer does not have.
      expect(Array.from(sample.answer.tokenIds)).toEqual(wanted.answerIds.slice(0, -1));
      expect(sample.imagePlayers).toMatchObject({ count: 64, rows: 8, columns: 8 });
      expect(sample.textPlayers.labels.map((label) => label.trim())).toEqual(
        wanted.question.match(/\w+|\?/g),
      );
    });

    it.each(['remove', 'attend'] as const)('scores cells as PyTorch does (%s)', async (masking) => {
      // The value of a game is a probability: 1e-5 absolute, and where PyTorch in float32 is itself further
      // off, three times that.
      const tolerance = Math.max(1e-5, 3 * wanted.float32Spread);
      const sample = await prepare(masking);
      const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
      const cells = wanted.cells.map(({ image, text }) =>
        table.cell(table.imageState(bits(image)), table.textState(bits(text))),
      );
      for (const scores of [await sample.evaluate(table), await sample.evaluatePlainly(table)]) {
        for (const [i, cell] of cells.entries()) {
          for (let k = 0; k < scores.tokens; k++) {
            const expected = wanted[masking][i]?.[k];
            const given = scores.logProbabilities[cell * scores.tokens + k];
            expect(Math.abs(Math.exp(given) - Math.exp(expected)), `cell ${i}`).toBeLessThan(tolerance);
            // Log-probabilities of -10 and below are differences of large logits, which float32 leaves
            // further apart.
            expect(Math.abs(given - expected), `cell ${i}`).toBeLessThan(10 * tolerance);
          }
        }
      }
    });
  });

  it.each(FAMILIES)('answers held-out questions of every grounding: %s', async (family) => {
    const size = 48;
    const data = embeddedDataset({
      families: [family],
      groundings: ['grounded', 'text-prior', 'image-prior'],
      size,
      seed: 99,
    });
    let right = 0;
    for await (const { image, question, answer, choices } of data.samples()) {
      const sample = await vlm.prepare(await image(), question, {
        ...EMBEDDED_MASKING,
        ...(choices ? { choices } : {}),
      });
      if (sample.answer.text.trim() === answer) right++;
    }
    // Measured on 360 samples: see the model card. Three wrong out of 48 are two deviations from 97 %.
    expect(right).toBeGreaterThanOrEqual(size - 3);
  });
});
