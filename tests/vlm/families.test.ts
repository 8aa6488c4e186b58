import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
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
  generated: number[];
  pixelShape: number[];
  pixels: { index: number[]; values: number[] };
  positions: number[][];
  cells: { image: number[]; text: number[]; masking: 'remove' | 'attend'; logProbabilities: number[] }[];
}

const folder = fileURLToPath(new URL('../golden/', import.meta.url));

describe.each([
  { directory: 'vlm-llava', architecture: 'llava' },
  { directory: 'vlm-qwen', architecture: 'qwen2_5_vl' },
  { directory: 'vlm-internvl', architecture: 'internvl' },
  { directory: 'vlm-idefics3', architecture: 'idefics3' },
])('$architecture: a tiny random model against PyTorch', ({ directory, architecture }) => {
  const golden = JSON.parse(readFileSync(`${folder}${directory}.json`, 'utf8')) as Case[];
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(`${folder}${directory}`);
  });
  afterAll(() => vlm?.dispose());

  it('is recognised', () => {
    expect(vlm).toMatchObject({ name: directory, architecture });
    expect(vlm.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  describe.each(golden)('$size $question', (wanted) => {
    const image = pattern(...wanted.size);
    let sample: PreparedSample;
    beforeAll(async () => {
      sample = await vlm.prepare(image, wanted.question, {
        instruction: wanted.instruction,
        maxNewTokens: 10,
      });
    });

    it('has the prompt, token ids and question tokens of the Hugging Face processor', () => {
      expect(sample.prompt).toBe(wanted.prompt);
      const { tokenIds, promptLength } = sample.whiteBox!;
      expect(Array.from(tokenIds.subarray(0, promptLength))).toEqual(wanted.ids);
      expect(Array.from(sample.textPlayers.positions)).toEqual(wanted.questionPositions);
      expect(new Set(sample.textPlayers.kinds)).toEqual(new Set(['question']));
      // The spans cover every visible character of the question.
      const { spans, count } = sample.textPlayers;
      const covered = new Set<number>();
      for (let p = 0; p < count; p++) for (let i = spans[p * 2]; i < spans[p * 2 + 1]; i++) covered.add(i);
      const visible = Array.from(wanted.question.matchAll(/\S/gu), (m) => m.index);
      expect(visible.filter((i) => !covered.has(i))).toEqual([]);
    });

    it('has the pixels and positions of the Hugging Face processor and model', () => {
      const box = sample.whiteBox!;
      const pixels = box.visionFeeds[box.pixelInput];
      expect(pixels.shape).toEqual(wanted.pixelShape);
      expect(wanted.pixels.index.map((i) => pixels.data[i])).toEqual(wanted.pixels.values);
      const positions = box.decoderFeeds(box.promptLength).position_ids;
      expect(Array.from(positions.data as BigInt64Array, Number)).toEqual(wanted.positions.flat());
    });

    it('generates the same tokens', () => {
      expect(Array.from(sample.answer.tokenIds)).toEqual(wanted.generated);
    });

    it('scores cells natively as it does one by one', async () => {
      const { imagePlayers, textPlayers } = sample;
      const table = new CellTable(imagePlayers.count, textPlayers.count);
      for (const { image, text } of wanted.cells) table.cell(table.imageState(image), table.textState(text));
      const native = await sample.evaluate(table);
      const plain = await (sample as DecoderSample).evaluatePlainly(table);
      expect(native.tokens).toBe(plain.tokens);
      for (const [i, value] of plain.logProbabilities.entries()) {
        expect(Math.abs(native.logProbabilities[i] - value)).toBeLessThan(1e-5);
      }
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
          const expected = cases[i].logProbabilities[k];
          const difference = Math.abs(scores.logProbabilities[cell * 3 + k] - expected);
          expect(difference).toBeLessThan(1e-5);
        }
      }
    });
  });
});
