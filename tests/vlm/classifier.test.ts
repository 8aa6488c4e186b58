import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ndarray, { type NdArray } from 'ndarray';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { Session } from '../../lib/inference/session.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { pattern } from './pattern.js';

interface Golden {
  question: string;
  size: [number, number];
  answers: string[];
  cells: {
    image: number[];
    text: number[];
    bag: number[];
    remove: number[];
    attend: number[];
  }[];
}

type Manifest = Record<'image' | 'question' | 'output', Record<string, unknown>> & Record<string, unknown>;

const folder = fileURLToPath(new URL('../golden/vlm-classifier/', import.meta.url));
const golden = JSON.parse(await readFile(`${folder}golden.json`, 'utf8')) as Golden;
const image = pattern(...golden.size);

describe.each([
  { manifest: 'bag', masking: 'remove', key: 'bag' },
  { manifest: 'tokens', masking: 'remove', key: 'remove' },
  { manifest: 'tokens', masking: 'attend', key: 'attend' },
] as const)('classifier $manifest ($masking) against NumPy', ({ manifest, masking, key }) => {
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(`${folder}${manifest}.json`);
  });
  afterAll(() => vlm.dispose());

  it('scores every class on masked cells', async () => {
    for (const [index, answer] of golden.answers.entries()) {
      const sample = await vlm.prepare(image, golden.question, { answer, textMasking: masking });
      const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
      const cells = golden.cells.map((cell) =>
        table.cell(table.imageState(cell.image), table.textState(cell.text)),
      );
      const scores = await sample.evaluate(table);
      for (const [i, cell] of golden.cells.entries()) {
        // Float32 sums of about a hundred products against float64.
        expect(Math.abs(scores.logProbabilities[cells[i]] - cell[key][index])).toBeLessThan(2e-5);
      }
    }
  });

  it('answers with the likeliest class and finds the words', async () => {
    const sample = await vlm.prepare(image, golden.question, { textMasking: masking });
    const full = golden.cells[0][key];
    expect(sample.answer.text).toBe(golden.answers[full.indexOf(Math.max(...full))]);
    expect(sample.textPlayers.labels).toEqual(['Is', 'the', 'red', 'shape', 'red']);
    expect(Array.from(sample.textPlayers.spans)).toEqual([0, 2, 3, 6, 7, 10, 11, 16, 17, 20]);
    expect(sample.imagePlayers).toMatchObject({ count: 12, rows: 3, columns: 4, tiles: 1 });
    expect(Array.from(sample.imagePlayers.boxes.subarray(4, 8))).toEqual([12.5, 0, 25, 10]);
  });
});

describe('classifier errors', () => {
  let scratch: string;
  let bag: Manifest;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'fsyn-classifier-'));
    await copyFile(`${folder}bag.onnx`, join(scratch, 'bag.onnx'));
    bag = JSON.parse(await readFile(`${folder}bag.json`, 'utf8')) as Manifest;
  });
  afterAll(() => rm(scratch, { recursive: true }));

  const load = async (edit: (manifest: Manifest) => void): Promise<Vlm> => {
    const manifest = structuredClone(bag);
    edit(manifest);
    await writeFile(join(scratch, 'classifier.json'), JSON.stringify(manifest));
    return loadVlm(scratch);
  };

  it.each<[string, (manifest: Manifest) => void, string, RegExp]>([
    [
      'an unknown key',
      (m) => {
        m.image.colour = 1;
      },
      'MODEL_CONTRACT',
      /Unknown key "colour".*known keys:.*layout/,
    ],
    [
      'a missing key',
      (m) => {
        delete m.image.rows;
      },
      'MODEL_CONTRACT',
      /rows in .*missing/,
    ],
    [
      'a wrong type',
      (m) => {
        m.image.height = '6';
      },
      'MODEL_CONTRACT',
      /integer from 1 to 2147483647 for height.*found "6"/,
    ],
    [
      'another format',
      (m) => {
        m.format = 'v9';
      },
      'MODEL_CONTRACT',
      /fsyn-classifier-1.*found "v9"/,
    ],
    [
      'an input that the graph lacks',
      (m) => {
        m.image.input = 'img';
      },
      'MODEL_CONTRACT',
      /"img".*it has: image\[n,6,8,3\]/,
    ],
    [
      'an output that the graph lacks',
      (m) => {
        m.output.logits = 'y';
      },
      'MODEL_CONTRACT',
      /output "y".*it has: logits/,
    ],
    [
      'too few answers',
      (m) => {
        m.output.answers = ['yes', 'no'];
      },
      'MODEL_CONTRACT',
      /\[2\].*logits.*3/,
    ],
    [
      'another image size',
      (m) => {
        m.image.height = 8;
      },
      'MODEL_CONTRACT',
      /\[8, 8, 3\].*image.*6, 8, 3/,
    ],
    [
      'a word beyond the bag',
      (m) => {
        m.question.vocabulary = { is: 9 };
      },
      'MODEL_CONTRACT',
      /above 9.*bow/,
    ],
    [
      'a grid finer than the image',
      (m) => {
        m.image.rows = 7;
      },
      'MODEL_CONTRACT',
      /grid of 7 x 4/,
    ],
    [
      'a model file that is not there',
      (m) => {
        m.model = 'none.onnx';
      },
      'MODEL_FILE',
      /none\.onnx/,
    ],
    [
      'a pattern that is no regular expression',
      (m) => {
        m.question.pattern = '(';
      },
      'MODEL_CONTRACT',
      /pattern/,
    ],
    [
      'keys of another encoding',
      (m) => {
        m.question.padId = 0;
      },
      'MODEL_CONTRACT',
      /Unknown key "padId"/,
    ],
  ])('names %s', async (_, edit, code, message) => {
    await expect(load(edit)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('rejects questions that it cannot read', async () => {
    const vlm = await load(() => {});
    await expect(vlm.prepare(image, ' ')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(vlm.prepare(image, 'is it red?')).rejects.toMatchObject({
      code: 'TOKENIZER',
      message: expect.stringContaining('"it"'),
    });
    await expect(vlm.prepare(image, 'is red', { answer: 'maybe' })).rejects.toThrow(/yes, no, red/);
    await expect(vlm.prepare(image, 'is red', { textMasking: 'attend' })).rejects.toThrow(/textMasking/);
    vlm.dispose();
    await expect(vlm.prepare(image, 'is red')).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  it('refuses more tokens than the model takes', async () => {
    const vlm = await loadVlm(`${folder}tokens.json`);
    await expect(vlm.prepare(image, 'is the shape red or is it blue?')).rejects.toMatchObject({
      code: 'CONTEXT_LENGTH',
      message: expect.stringMatching(/takes 7 tokens but the question has 8/),
    });
    vlm.dispose();
  });

  it('leaves unknown words out when told to', async () => {
    const vlm = await load((m) => {
      m.question.unknown = 'skip';
    });
    const sample = await vlm.prepare(image, 'Is it really red?');
    expect(sample.textPlayers.labels).toEqual(['Is', 'red']);
    expect(Array.from(sample.textPlayers.spans)).toEqual([0, 2, 13, 16]);
    vlm.dispose();
  });
});

describe('one absent player changes exactly its own pixels or word: classifier', () => {
  it.each([
    { manifest: 'bag', at: (c: number, y: number, x: number) => (y * 8 + x) * 3 + c },
    { manifest: 'tokens', at: (c: number, y: number, x: number) => (c * 6 + y) * 8 + x },
  ])('$manifest', async ({ manifest, at }) => {
    const fed: { pixels: Float32Array; text: number[] }[] = [];
    const run = vi.spyOn(Session.prototype, 'run').mockImplementation(async (feeds) => {
      const pixels = (feeds.image as NdArray<Float32Array>).data;
      const text = (feeds.bow ?? feeds.ids) as NdArray<Float32Array>;
      const rows = text.shape[0];
      for (let row = 0; row < rows; row++) {
        const size = pixels.length / rows;
        const words = text.data.length / rows;
        fed.push({
          pixels: pixels.slice(row * size, (row + 1) * size),
          text: Array.from(text.data.subarray(row * words, (row + 1) * words), Number),
        });
      }
      return { logits: ndarray(new Float32Array(rows * 3), [rows, 3]) };
    });
    try {
      const vlm = await loadVlm(`${folder}${manifest}.json`);
      const sample = await vlm.prepare(image, golden.question, { baseline: 'noise' });
      const { imagePlayers, textPlayers } = sample;
      const table = new CellTable(imagePlayers.count, textPlayers.count);
      const all = (count: number) => new Uint8Array(count).fill(1);
      const allBut = (player: number, count: number) => all(count).map((_, i) => (i === player ? 0 : 1));
      const fullImage = table.imageState(all(imagePlayers.count));
      const fullText = table.textState(all(textPlayers.count));
      table.cell(table.imageState(new Uint8Array(imagePlayers.count)), fullText);
      table.cell(fullImage, fullText);
      for (let p = 0; p < imagePlayers.count; p++)
        table.cell(table.imageState(allBut(p, imagePlayers.count)), fullText);
      for (let p = 0; p < textPlayers.count; p++)
        table.cell(fullImage, table.textState(allBut(p, textPlayers.count)));
      // The first evaluation tries batches.
      await sample.evaluate(table);
      fed.length = 0;
      await sample.evaluate(table);
      vlm.dispose();
      const [baseline, full, ...single] = fed;
      for (const [p, { pixels, text }] of single.slice(0, imagePlayers.count).entries()) {
        expect(text).toEqual(full.text);
        for (let c = 0; c < 3; c++) {
          for (let y = 0; y < 6; y++) {
            for (let x = 0; x < 8; x++) {
              const inside = Math.floor(y / 2) * 4 + Math.floor(x / 2) === p;
              expect(pixels[at(c, y, x)]).toBe((inside ? baseline : full).pixels[at(c, y, x)]);
            }
          }
        }
      }
      const ids = [1, 2, 4, 3, 4];
      for (const [p, { pixels, text }] of single.slice(imagePlayers.count).entries()) {
        expect(pixels).toEqual(full.pixels);
        const expected = [...full.text];
        if (manifest === 'bag') expected[ids[p]]--;
        else expected[p] = 0;
        expect(text).toEqual(expected);
      }
    } finally {
      run.mockRestore();
    }
  });
});
