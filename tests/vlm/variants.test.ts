import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { attnLrp } from '../../lib/explainers/attn-lrp.js';
import { fromHalf, toHalf } from '../../lib/float16.js';
import { explain } from '../../lib/measure/evaluate.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

interface Case {
  size: [number, number];
  question: string;
  cells: { image: number[]; text: number[]; masking: string; logProbabilities: number[] }[];
}

describe('exports that differ from the plain one', () => {
  let model: string;
  beforeEach(async () => {
    model = await mkdtemp(join(tmpdir(), 'fsyn-variants-'));
    await cp(`${golden}vlm-llava`, model, { recursive: true });
  });
  afterEach(() => rm(model, { recursive: true }));

  const use = (variant: string, part: string) =>
    cp(`${golden}vlm-variants/${variant}.onnx`, join(model, 'onnx', `${part}.onnx`));

  it.each([
    ['decoder_ignores_holes', /ignores holes in attention_mask and takes no positions.*textMasking "attend"/],
    ['decoder_counts_positions', /counts positions from attention_mask.*textMasking "attend"/],
  ])('refuses to remove tokens where it would score something else: %s', async (variant, message) => {
    await use(variant, 'decoder_model_merged');
    const vlm = await loadVlm(model);
    const image = pattern(28, 28);
    await expect(vlm.prepare(image, 'Is it red?')).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringMatching(message),
    });
    const sample = await vlm.prepare(image, 'Is it red?', { textMasking: 'attend', maxNewTokens: 1 });
    const table = new CellTable(16, sample.textPlayers.count);
    table.cell(
      table.imageState(new Uint8Array(16)),
      table.textState(new Uint8Array(sample.textPlayers.count)),
    );
    expect((await sample.evaluate(table)).logProbabilities[0]).toBeLessThan(0);
    await expect(explain(sample, 'atman')).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringMatching(/takes no position_ids/),
    });
    vlm.dispose();
  });

  it('makes GroupQueryAttention heed holes in the mask, which it would overlook', async () => {
    await use('decoder_gqa', 'decoder_model_merged');
    const vlm = await loadVlm(model);
    const [wanted] = JSON.parse(await readFile(`${golden}vlm-llava.json`, 'utf8')) as Case[];
    for (const masking of ['remove', 'attend'] as const) {
      const options = { maxNewTokens: 3, answerTokens: 'all', textMasking: masking } as const;
      const sample = await vlm.prepare(pattern(...wanted.size), wanted.question, options);
      const table = new CellTable(16, sample.textPlayers.count);
      const cases = wanted.cells.filter((cell) => cell.masking === masking);
      for (const { image, text } of cases) table.cell(table.imageState(image), table.textState(text));
      const native = await sample.evaluate(table);
      const plain = await (sample as DecoderSample).evaluatePlainly(table);
      for (const [i, { logProbabilities }] of cases.entries()) {
        for (let k = 0; k < 3; k++) {
          expect(Math.abs(native.logProbabilities[i * 3 + k] - logProbabilities[k])).toBeLessThan(1e-5);
          expect(Math.abs(plain.logProbabilities[i * 3 + k] - logProbabilities[k])).toBeLessThan(1e-5);
        }
      }
    }
    vlm.dispose();
  });

  it('runs half precision: inputs, features and cache are converted', async () => {
    for (const part of ['vision_encoder', 'embed_tokens', 'decoder_model_merged']) {
      await use(`${part}_fp16`, `${part}_fp16`);
    }
    const vlm = await loadVlm(model, { dtype: 'fp16' });
    const [wanted] = JSON.parse(await readFile(`${golden}vlm-llava.json`, 'utf8')) as Case[];
    const sample = await vlm.prepare(pattern(...wanted.size), wanted.question, { maxNewTokens: 1 });
    expect(sample.whiteBox!.visionFeeds.pixel_values.data).toBeInstanceOf(Float32Array);
    const { image: cells, text: words } = await attnLrp({ target: 'logit' }).attribute({
      sample,
      seed: 0,
      evaluate: (asked) => sample.evaluate(asked),
    });
    expect([...cells, ...words].every(Number.isFinite)).toBe(true);
    const table = new CellTable(16, sample.textPlayers.count);
    const cases = wanted.cells.filter(({ masking }) => masking === 'remove');
    for (const { image, text } of cases) table.cell(table.imageState(image), table.textState(text));
    const native = await sample.evaluate(table);
    const plain = await (sample as DecoderSample).evaluatePlainly(table);
    for (const [i, { logProbabilities }] of cases.entries()) {
      // Half precision keeps 11 bits: about 5e-4 of logits of order 10, through some ten layers of rounding.
      expect(Math.abs(native.logProbabilities[i] - logProbabilities[0])).toBeLessThan(0.05);
      expect(Math.abs(native.logProbabilities[i] - plain.logProbabilities[i])).toBeLessThan(0.05);
    }
    vlm.dispose();
  });
});

describe('half precision', () => {
  it('returns every finite half unchanged', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = fromHalf(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(fromHalf(toHalf(value)))).toBe(true);
      else expect(toHalf(value)).toBe(bits);
    }
  });

  it('rounds to nearest, ties to even, at every scale', () => {
    expect(toHalf(1 + 2 ** -11)).toBe(toHalf(1));
    expect(toHalf(1 + 3 * 2 ** -11)).toBe(toHalf(1 + 2 ** -9));
    expect(toHalf(1 + 2 ** -11 + 2 ** -20)).toBe(toHalf(1 + 2 ** -10));
    expect(toHalf(65519)).toBe(0x7bff);
    expect(toHalf(65520)).toBe(0x7c00);
    expect(toHalf(2 ** -25)).toBe(0);
    expect(toHalf(2 ** -25 * 1.001)).toBe(1);
    expect(toHalf(3 * 2 ** -25)).toBe(2);
    expect(toHalf(-(2 ** -14) * (1 - 2 ** -12))).toBe(0x8400);
  });
});
