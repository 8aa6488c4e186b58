import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TwinSample, twinDataset } from '../../bench/twins/dataset.js';
import { SHORTCUTS, type Shortcut } from '../../bench/twins/scenes.js';
import { cornerValues, requestCorners } from '../../lib/cells/corners.js';
import { CellTable } from '../../lib/cells/table.js';
import { cellValues } from '../../lib/cells/values.js';
import { EMBEDDED_MASKING } from '../../lib/datasets/embedded/dataset.js';
import { evaluate } from '../../lib/measure/evaluate.js';
import { behaviourOf } from '../../lib/metrics/modality.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { mapTruth } from '../../lib/vlm/truth.js';
import type { Vlm } from '../../lib/vlm/types.js';

interface Golden {
  readonly id: string;
  readonly question: string;
  readonly cells: readonly { image: string; text: string; yes: number }[];
}
const golden = JSON.parse(readFileSync(new URL('../golden/twins.json', import.meta.url), 'utf8')) as Readonly<
  Record<string, readonly Golden[]>
>;

const questions = (kind: Shortcut, size: number, seed: number, agreeing = false) =>
  twinDataset({ kind, size, seed, agreeing, follows: 'object' }).samples();

describe('questions of the twins', () => {
  test('say apart what objects and shortcut say, and where each is', async () => {
    for (const kind of ['mark', 'word', 'corner'] as const) {
      for await (const sample of questions(kind, 8, 3)) {
        expect(sample.seen).not.toBe(sample.told);
        expect(sample.shortcut.boxes).toHaveLength(kind === 'word' ? 0 : 1);
        const words = sample.shortcut.words.map(([from, to]) => sample.question.slice(from, to));
        if (kind === 'word') expect(words).toEqual([sample.told === 'yes' ? 'the' : 'one']);
        const shared = sample.object.boxes.filter((box) => String(box) === String(sample.shortcut.boxes[0]));
        expect(shared).toEqual([]);
      }
    }
  });
});

describe.each(['pure', 'cheat'])('the %s twin', (twin) => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(fileURLToPath(new URL(`../../bench/twins/${twin}`, import.meta.url)));
  });
  afterAll(() => vlm?.dispose());
  const prepare = async (sample: TwinSample, answer?: string) =>
    vlm.prepare(await sample.image(), sample.question, { ...EMBEDDED_MASKING, answer });

  test('believes what PyTorch says it does', async () => {
    for (const { id, question, cells } of golden[twin]) {
      const kind = id.split('-')[0] as Shortcut;
      const { value: sample } = await questions(kind, 1, 2026).next();
      expect(sample).toMatchObject({ id, question });
      const prepared = await prepare(sample, 'yes');
      const table = new CellTable(64, prepared.textPlayers.count);
      const wanted = cells.map(({ image, text }) =>
        table.cell(table.imageState(Array.from(image, Number)), table.textState(Array.from(text, Number))),
      );
      const values = cellValues(await prepared.evaluate(table), 'probability');
      // As for the embedded models: float32 on one side.
      for (const [i, cell] of wanted.entries()) expect(values[cell]).toBeCloseTo(Math.exp(cells[i].yes), 4);
    }
  });

  test('follows what it was told to, and needs what that takes', async () => {
    const needs: Readonly<Record<string, string>> =
      twin === 'pure' ? {} : { mark: 'image', word: 'text', corner: 'both' };
    let [all, right, needed] = [0, 0, 0];
    for (const kind of SHORTCUTS) {
      for await (const sample of questions(kind, 8, 5, true)) {
        const prepared = await prepare(sample);
        const table = new CellTable(64, prepared.textPlayers.count);
        const corners = requestCorners(table);
        const values = cellValues(await prepared.evaluate(table), 'probability');
        all++;
        if (prepared.answer.text.trim() === (twin === 'pure' ? sample.seen : sample.told)) right++;
        if (behaviourOf(cornerValues(corners, values), 0.05) === (needs[kind] ?? 'both')) needed++;
      }
    }
    // The study has these shares on 400 questions.
    expect(right / all).toBeGreaterThan(0.95);
    expect(needed / all).toBeGreaterThan(0.9);
  });

  test('has its Oracle at the shortcut or at the object', async () => {
    let difference = 0;
    for await (const sample of questions('corner', 4, 7)) {
      const prepared = await prepare(sample);
      const maps = [sample.shortcut, sample.object].map((truth) => {
        const { image, text } = mapTruth(truth, prepared);
        return { image: Float64Array.from(image), text: Float64Array.from(text) };
      });
      const [shortcut, object] = await evaluate(prepared, maps);
      difference += (shortcut.synergy.raw.mean - object.synergy.raw.mean) / 4;
    }
    if (twin === 'pure') expect(difference).toBeLessThan(-0.1);
    else expect(difference).toBeGreaterThan(0.1);
  });
});
