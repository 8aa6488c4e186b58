import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { cellValues } from '../../lib/cells/values.js';
import { Session } from '../../lib/inference/session.js';
import { evaluate, explain } from '../../lib/measure/evaluate.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
import { pattern } from './pattern.js';

interface Case {
  size: [number, number];
  caption: string;
  ids: number[];
  positions: number[];
  pixelShape: number[];
  pixels: { index: number[]; values: number[] };
  cells: { image: number[]; text: number[]; logit: number; cosine: number }[];
}
type Golden = Record<'clip' | 'siglip', { scale: number; bias: number; cases: Case[] }>;

const folder = fileURLToPath(new URL('../golden/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}vlm-dual.json`, 'utf8')) as Golden;
const scratch = mkdtempSync(join(tmpdir(), 'fsyn-dual-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A copy of a golden directory with these model files only. */
function directoryWith(source: string, models: Record<string, string>): string {
  const target = mkdtempSync(join(scratch, `${source}-`));
  for (const file of ['config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'])
    cpSync(`${folder}${source}/${file}`, join(target, file));
  mkdirSync(join(target, 'onnx'));
  for (const [name, from] of Object.entries(models))
    cpSync(`${folder}${source}/${from}`, join(target, 'onnx', name));
  return target;
}

const clipTowers = {
  'vision_model.onnx': 'onnx/vision_model.onnx',
  'text_model.onnx': 'onnx/text_model.onnx',
};

const models = [
  {
    title: 'CLIP, model.onnx',
    family: 'clip',
    directory: () => directoryWith('vlm-clip', { 'model.onnx': 'onnx/model.onnx' }),
  },
  {
    title: 'CLIP, one file per tower',
    family: 'clip',
    directory: () => directoryWith('vlm-clip', clipTowers),
  },
  { title: 'SigLIP, model.onnx', family: 'siglip', directory: () => `${folder}vlm-siglip` },
] as const;

/**
 * Every cell of a case in a table, in order; words outside the vocabulary, which the golden cells do not
 * mask, stay.
 */
function tableOf(
  sample: PreparedSample,
  { cells, positions }: Case,
): { table: CellTable; indices: number[] } {
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const players = Array.from(sample.textPlayers.positions, (position) => positions.indexOf(position));
  const indices = cells.map(({ image, text }) =>
    table.cell(
      table.imageState(Uint8Array.from(image)),
      table.textState(Uint8Array.from(players, (player) => (player < 0 ? 1 : text[player]))),
    ),
  );
  return { table, indices };
}

describe.each(models)('$title against PyTorch', ({ family, directory }) => {
  const { scale, bias, cases } = golden[family];
  let vlm: Vlm;
  beforeAll(async () => {
    vlm = await loadVlm(directory());
  });
  afterAll(() => vlm?.dispose());

  it('is recognised', () => {
    expect(vlm.architecture).toBe(family);
    expect(vlm.fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  describe.each(cases)('$size $caption', (wanted) => {
    let sample: PreparedSample;
    beforeAll(async () => {
      sample = await vlm.prepare(pattern(...wanted.size), wanted.caption);
    });

    it('has the caption tokens of the Hugging Face tokenizer as players, special tokens never', () => {
      const known = (position: number) => wanted.positions.includes(position);
      const found = Array.from(sample.textPlayers.positions);
      expect(found.filter(known)).toEqual(wanted.positions);
      // A word outside the vocabulary is a special token there, but a player here: it stands for text.
      const others = sample.textPlayers.labels.filter((_, player) => !known(found[player]));
      for (const label of others) expect(label).toMatch(/[^ -~]/u);
      expect(new Set(sample.textPlayers.kinds)).toEqual(new Set(['question']));
      expect(sample.textPlayers.labels.join('')).not.toMatch(/<|\||>/u);
      const { spans, count } = sample.textPlayers;
      for (let p = 0; p < count; p++) {
        // Labels are what the tokenizer made of the text: lower case, punctuation gone where it drops it.
        const text = wanted.caption.slice(spans[p * 2], spans[p * 2 + 1]).toLowerCase();
        if (!/[^ -~]/u.test(text)) expect(text).toContain(sample.textPlayers.labels[p].trim());
      }
    });

    it('scores full and masked inputs as the model does', async () => {
      const { table, indices } = tableOf(sample, wanted);
      const values = cellValues(await sample.evaluate(table), 'probability');
      for (const [i, cell] of wanted.cells.entries()) {
        const value = values[indices[i]];
        const expected = family === 'clip' ? cell.cosine : 1 / (1 + Math.exp(-cell.logit));
        // Float32 on two runtimes, values of order 1.
        expect(Math.abs(value - expected)).toBeLessThan(1e-5);
        // As the model's own logit, which is the cosine magnified by the scale.
        const logit = family === 'clip' ? scale * value + bias : Math.log(value / (1 - value));
        expect(Math.abs(logit - cell.logit)).toBeLessThan(1e-4);
      }
    });

    it('says the similarity instead of an answer', () => {
      expect(sample.answer.decisionKind).toBe('similarity');
      expect(sample.answer.tokenIds).toHaveLength(0);
      const value = family === 'clip' ? wanted.cells[0].cosine : 1 / (1 + Math.exp(-wanted.cells[0].logit));
      expect(Math.abs(Number(sample.answer.decisionToken) - value)).toBeLessThan(1e-4);
    });
  });

  it('encodes every state once, however many cells meet in it', async () => {
    const sample = await vlm.prepare(pattern(28, 28), 'a photo of a red circle');
    const { imagePlayers, textPlayers } = sample;
    const table = new CellTable(imagePlayers.count, textPlayers.count);
    const without = (players: number, absent: number) =>
      Uint8Array.from({ length: players }, (_, player) => (player === absent ? 0 : 1));
    for (let image = 0; image < 10; image++) {
      for (let text = 0; text < 5; text++) {
        table.cell(
          table.imageState(without(imagePlayers.count, image)),
          table.textState(without(textPlayers.count, text)),
        );
      }
    }
    const before = await sample.plan!(table);
    expect(before).toMatchObject({ cells: 50, cachedCells: 0, imageStates: 10, textStates: 5, suffixes: 5 });
    const { vision, suffix, total, naive } = before.flops!;
    expect(total).toBe(vision + suffix);
    expect(naive).toBeCloseTo(5 * vision + 10 * suffix, 3);
    const done: number[] = [];
    const scores = await sample.evaluate(table, { onProgress: (count) => done.push(count) });
    expect(done.at(-1)).toBe(50);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(await sample.plan!(table)).toMatchObject({ cachedCells: 50, imageStates: 0, textStates: 0 });
    expect(await sample.evaluate(table)).toEqual(scores);
  });

  it('is explained by methods that ask for cells, and refuses those that look inside', async () => {
    const sample = await vlm.prepare(pattern(40, 60), 'a photo of a red circle');
    const attributions = [
      await explain(sample, 'occlusion'),
      await explain(sample, 'random'),
      await explain(sample, 'shapley'),
    ];
    const results = await evaluate(sample, attributions);
    for (const { synergy } of results) expect(Number.isFinite(synergy.raw.mean)).toBe(true);
    expect(new Set(results.map(({ synergy }) => synergy.raw.mean)).size).toBe(3);
    const { table } = tableOf(sample, golden[family].cases[0]);
    await sample.evaluate(table);
    for (const name of [
      'input-x-gradient',
      'integrated-gradients',
      'grad-cam',
      'attn-lrp',
      'rollout',
      'tam',
    ]) {
      await expect(explain(sample, name)).rejects.toMatchObject({
        code: 'UNSUPPORTED_MODEL',
        message: expect.stringContaining(name),
      });
    }
  });

  it('adds up what Shapley values share out', async () => {
    const sample = await vlm.prepare(pattern(40, 60), 'a red cat');
    const attribution = await explain(sample, 'shapley');
    const { corners } = (await evaluate(sample, [attribution]))[0];
    const sum = [...attribution.image, ...attribution.text].reduce((total, value) => total + value, 0);
    expect(Math.abs(sum - (corners.full - corners.empty))).toBeLessThan(1e-9);
  });

  it('stops when aborted and after disposal', async () => {
    const sample = await vlm.prepare(pattern(28, 28), 'a cat');
    const { table } = tableOf(sample, { ...golden[family].cases[0], cells: [] });
    await expect(sample.evaluate(table, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
    const other = await loadVlm(directory());
    other.dispose();
    await expect(other.prepare(pattern(28, 28), 'a cat')).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  it.each([
    ['an answer', { answer: 'yes' }, 'answer'],
    ['choices', { choices: ['A', 'B'] }, 'choices'],
  ])('refuses %s, which a similarity cannot have', async (_, options, name) => {
    await expect(vlm.prepare(pattern(28, 28), 'a cat', options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(name),
    });
  });

  it('refuses a caption that is too long, and one that spells the end token', async () => {
    await expect(vlm.prepare(pattern(28, 28), 'a cat '.repeat(40))).rejects.toMatchObject({
      code: 'CONTEXT_LENGTH',
    });
    const end = family === 'clip' ? '<|endoftext|>' : '</s>';
    await expect(vlm.prepare(pattern(28, 28), `a cat ${end} here`)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('refuses a memory budget that one state does not fit into', async () => {
    const tight = await loadVlm(directory(), { memory: 1000 });
    await expect(tight.prepare(pattern(28, 28), 'a cat')).rejects.toMatchObject({ code: 'BUDGET' });
    tight.dispose();
  });
});

describe('what is fed to a dual encoder', () => {
  const towers = { clip: 'vlm-clip', siglip: 'vlm-siglip' } as const;

  describe.each(['clip', 'siglip'] as const)('%s', (family) => {
    const [wanted] = golden[family].cases;
    let vlm: Vlm;
    let feeds: Record<string, { data: ArrayLike<number | bigint>; shape: readonly number[] }>[];
    beforeAll(async () => {
      const run = Session.prototype.run;
      vi.spyOn(Session.prototype, 'run').mockImplementation(function (this: Session, given, options) {
        feeds.push(given as unknown as (typeof feeds)[number]);
        return run.call(this, given, options);
      });
      feeds = [];
      vlm = await loadVlm(`${folder}${towers[family]}`);
    });
    afterAll(() => {
      vi.restoreAllMocks();
      vlm?.dispose();
    });
    const fed = (name: string) => feeds.filter((feed) => name in feed).map((feed) => feed[name]);

    it('is the pixels and ids of the Hugging Face processor', async () => {
      feeds = [];
      for (const one of golden[family].cases) {
        feeds = [];
        await vlm.prepare(pattern(...one.size), one.caption);
        const pixels = fed('pixel_values')[0];
        expect(pixels.shape).toEqual(one.pixelShape);
        expect(one.pixels.index.map((i) => pixels.data[i])).toEqual(one.pixels.values);
        expect(Array.from(fed('input_ids').at(-1)!.data, Number)).toEqual(one.ids);
      }
    });

    it('changes in exactly the patch of one absent image player, and in its token of a text player', async () => {
      const sample = await vlm.prepare(pattern(...wanted.size), wanted.caption);
      const { imagePlayers, textPlayers } = sample;
      const all = (players: number) => new Uint8Array(players).fill(1);
      const without = (players: number, absent: number) => all(players).fill(0, absent, absent + 1);
      feeds = [];
      const fresh = await vlm.prepare(pattern(...wanted.size), wanted.caption);
      const whole = fed('pixel_values')[0].data as Float32Array;
      const ids = Array.from(fed('input_ids').at(-1)!.data, Number);
      for (let player = 0; player < imagePlayers.count; player++) {
        feeds = [];
        const table = new CellTable(imagePlayers.count, textPlayers.count);
        table.cell(
          table.imageState(without(imagePlayers.count, player)),
          table.textState(all(textPlayers.count)),
        );
        await fresh.evaluate(table);
        const masked = fed('pixel_values')[0].data as Float32Array;
        const changed = new Set(
          Array.from(masked.keys())
            .filter((i) => masked[i] !== whole[i])
            .map((i) => Math.floor((Math.floor(i / 28) % 28) / 7) * 4 + Math.floor((i % 28) / 7)),
        );
        expect([...changed]).toEqual([player]);
      }
      for (let player = 0; player < textPlayers.count; player++) {
        feeds = [];
        const table = new CellTable(imagePlayers.count, textPlayers.count);
        table.cell(
          table.imageState(all(imagePlayers.count)),
          table.textState(without(textPlayers.count, player)),
        );
        await fresh.evaluate(table);
        expect(fed('pixel_values')).toEqual([]);
        const masked = Array.from(fed('input_ids')[0].data, Number);
        const attention = fed('attention_mask')[0] && Array.from(fed('attention_mask')[0].data, Number);
        const position = textPlayers.positions[player];
        const pad = ids.with(position, 1);
        if (family === 'siglip') expect(masked).toEqual(pad);
        else {
          expect(masked).toEqual(ids);
          expect(attention).toEqual(ids.map((_, i) => (i === position ? 0 : 1)));
        }
      }
    });
  });
});

describe('a directory of a dual encoder', () => {
  it('is refused when SigLIP lacks the file that holds its scale and bias', async () => {
    const files = {
      'vision_model.onnx': 'onnx/vision_model.onnx',
      'text_model.onnx': 'onnx/text_model.onnx',
    };
    await expect(loadVlm(directoryWith('vlm-siglip', files))).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringContaining('scale and bias'),
    });
  });

  it('is refused with both layouts named when neither is whole', async () => {
    const files = { 'vision_model.onnx': 'onnx/vision_model.onnx' };
    await expect(loadVlm(directoryWith('vlm-clip', files))).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringMatching(/model\[_dtype\]\.onnx.*there are: vision_model\.onnx/u),
    });
    await expect(loadVlm(`${folder}vlm-clip`, { dtype: 'q4' })).rejects.toMatchObject({ code: 'MODEL_FILE' });
  });

  it('may hold a text tower without an attention mask, whose tokens then cannot be removed', async () => {
    const vlm = await loadVlm(
      directoryWith('vlm-clip', {
        'vision_model.onnx': 'onnx/vision_model.onnx',
        'text_model.onnx': 'maskless/text_model.onnx',
      }),
    );
    await expect(vlm.prepare(pattern(28, 28), 'a cat')).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringContaining('attention_mask'),
    });
    vlm.dispose();
  });

  it('is not masked in ways that would score another function', async () => {
    const clip = await loadVlm(`${folder}vlm-clip`);
    await expect(clip.prepare(pattern(28, 28), 'a cat', { textMasking: 'attend' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringContaining('end token'),
    });
    clip.dispose();
    const siglip = await loadVlm(`${folder}vlm-siglip`);
    await expect(siglip.prepare(pattern(28, 28), 'a cat', { textMasking: 'remove' })).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringContaining('attend'),
    });
    siglip.dispose();
  });

  it('gives CLIP no probabilities to score by', async () => {
    const vlm = await loadVlm(`${folder}vlm-clip`);
    const sample = await vlm.prepare(pattern(28, 28), 'a cat');
    const attribution = await explain(sample, 'random');
    await expect(evaluate(sample, [attribution], { scoring: 'log-probability' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('similarities'),
    });
    vlm.dispose();
  });

  it('gives the same similarity in both layouts', async () => {
    const { cases } = golden.clip;
    const [whole, towers] = await Promise.all([
      loadVlm(`${folder}vlm-clip`),
      loadVlm(directoryWith('vlm-clip', clipTowers)),
    ]);
    for (const { size, caption } of cases) {
      const [a, b] = await Promise.all([whole, towers].map((vlm) => vlm.prepare(pattern(...size), caption)));
      expect(b.answer.decisionToken).toBe(a.answer.decisionToken);
    }
    whole.dispose();
    towers.dispose();
  });
});
