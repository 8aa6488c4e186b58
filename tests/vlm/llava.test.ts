import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/metrics/cells.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { pattern } from './pattern.js';

interface Case {
  size: [number, number];
  question: string;
  instruction: string;
  prompt: string;
  ids: number[];
  questionPositions: number[];
  topLogits: [number, number][];
  generated: number[];
  cells: { image: number[]; text: number[]; masking: 'remove' | 'attend'; logProbabilities: number[] }[];
}

const folder = fileURLToPath(new URL('../golden/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}vlm-llava.json`, 'utf8')) as Case[];

describe('a tiny LLaVA-1.5 against PyTorch', () => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(`${folder}vlm-llava`);
  });
  afterAll(() => vlm.dispose());

  it('is recognised', () => {
    expect(vlm).toMatchObject({ name: 'vlm-llava', architecture: 'llava' });
    expect(vlm.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  describe.each(golden)('$question', (wanted) => {
    const image = pattern(...wanted.size);
    let sample: PreparedSample;
    beforeAll(async () => {
      sample = await vlm.prepare(image, wanted.question, {
        instruction: wanted.instruction,
        maxNewTokens: 12,
      });
    });

    it('has the prompt, token ids and question tokens of the Hugging Face processor', () => {
      expect(sample.prompt).toBe(wanted.prompt);
      const { tokenIds, promptLength } = sample.whiteBox!;
      expect(Array.from(tokenIds.subarray(0, promptLength))).toEqual(wanted.ids);
      expect(Array.from(sample.textPlayers.positions)).toEqual(wanted.questionPositions);
      const { spans, count, kinds } = sample.textPlayers;
      expect(new Set(kinds)).toEqual(new Set(['question']));
      // The spans cover every visible character of the question.
      const covered = new Set<number>();
      for (let p = 0; p < count; p++) for (let i = spans[p * 2]; i < spans[p * 2 + 1]; i++) covered.add(i);
      const visible = Array.from(wanted.question.matchAll(/\S/gu), (m) => m.index);
      expect(visible.filter((i) => !covered.has(i))).toEqual([]);
    });

    it('generates the same tokens', () => {
      expect(Array.from(sample.answer.tokenIds)).toEqual(wanted.generated);
    });

    it.each(['remove', 'attend'] as const)('scores masked cells the same (%s)', async (masking) => {
      const given = await vlm.prepare(image, wanted.question, {
        instruction: wanted.instruction,
        maxNewTokens: 3,
        answerTokens: 'all',
        textMasking: masking,
      });
      const table = new CellTable(given.imagePlayers.count, given.textPlayers.count);
      const cases = wanted.cells.filter((cell) => cell.masking === masking);
      const cells = cases.map(({ image, text }) =>
        table.cell(table.imageState(image), table.textState(text)),
      );
      const scores = await given.evaluate(table);
      expect(scores.tokens).toBe(3);
      // Float32 on two runtimes; log-probabilities are of order 10, so 1e-5 is about ten roundings.
      for (const [i, cell] of cells.entries()) {
        for (let k = 0; k < 3; k++) {
          const difference = scores.logProbabilities[cell * 3 + k] - cases[i].logProbabilities[k];
          expect(Math.abs(difference)).toBeLessThan(1e-5);
        }
      }
    });
  });
});
