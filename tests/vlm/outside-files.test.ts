import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeText, parseJson } from '../../lib/text-file.js';
import { QwenVl } from '../../lib/vlm/decoder/architectures/qwen-vl.js';
import type { ModelDirectory } from '../../lib/vlm/files/directory.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const llava = fileURLToPath(new URL('../../bench/models/llava-tiny/model', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'fsyn-outside-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'cd'.repeat(32)}\nsize 4096\n`;

function copy(name: string): string {
  const path = join(folder, name);
  cpSync(llava, path, { recursive: true });
  return path;
}

describe('a file of a model directory', () => {
  it('may begin with a byte order mark', async () => {
    const path = copy('marked');
    for (const file of [
      'config.json',
      'tokenizer.json',
      'preprocessor_config.json',
      'generation_config.json',
    ])
      writeFileSync(join(path, file), `\ufeff${readFileSync(join(path, file), 'utf8')}`);
    const [plain, marked] = [await loadVlm(llava), await loadVlm(path)];
    const answers = await Promise.all(
      [plain, marked].map((vlm) => vlm.prepare(pattern(64, 64), 'Is there a red circle?')),
    );
    expect(answers[1].prompt).toBe(answers[0].prompt);
    expect(answers[1].answer).toEqual(answers[0].answer);
    plain.dispose();
    marked.dispose();
  });

  it.each([
    ['config.json', 'config.json'],
    ['tokenizer.json', 'tokenizer.json'],
    ['onnx/decoder_model_merged.onnx', 'decoder_model_merged.onnx'],
    ['onnx/vision_encoder.onnx', 'vision_encoder.onnx'],
    ['onnx/embed_tokens.onnx', 'embed_tokens.onnx'],
  ])('that Git LFS did not fetch is named: %s', async (file, named) => {
    const path = copy(`pointer-${file.replaceAll(/[/.]/g, '-')}`);
    writeFileSync(join(path, file), pointer);
    await expect(loadVlm(path)).rejects.toMatchObject({
      code: 'MODEL_FILE',
      message: expect.stringMatching(new RegExp(`${named}.*is a Git LFS pointer.*git lfs pull`)),
    });
  });

  it('that is a folder, or no UTF-8, or nested without end is named', async () => {
    const path = copy('broken');
    const config = join(path, 'config.json');
    writeFileSync(config, Buffer.concat([Buffer.from('{"a":\n"'), Buffer.of(0xe9), Buffer.from('"}')]));
    await expect(loadVlm(path)).rejects.toThrow(/config\.json" is not UTF-8: line 2/);
    writeFileSync(config, Buffer.from('\ufeff{}', 'utf16le'));
    await expect(loadVlm(path)).rejects.toThrow(/config\.json" is not UTF-8: it looks like UTF-16/);
    writeFileSync(config, '['.repeat(1e6));
    await expect(loadVlm(path)).rejects.toThrow(/config\.json" nests arrays or objects deeper than 512/);
    rmSync(config);
    mkdirSync(config);
    await expect(loadVlm(path)).rejects.toThrow(/config\.json": it is a folder/);
    await expect(loadVlm('models/llava\0')).rejects.toMatchObject({ code: 'MODEL_FILE' });
  });
});

describe('text from outside', () => {
  const role = { code: 'DATASET', what: 'the data' } as const;

  it('is decoded strictly, and the line of the first wrong byte is told', () => {
    expect(decodeText(Buffer.from('\ufeffé\n日'), 'x', role)).toBe('é\n日');
    // A replacement character that is written out is text.
    const bytes = Buffer.concat([Buffer.from('\ufffd\n\n'), Buffer.of(0xc3)]);
    expect(() => decodeText(bytes, 'x', role)).toThrow('the data "x" is not UTF-8: line 3');
  });

  it('is parsed to a bounded depth, brackets in strings not counted', () => {
    const quoted = JSON.stringify({ text: `${'['.repeat(600)}"\\` });
    expect(parseJson(quoted, 'x', 'DATASET')).toEqual(JSON.parse(quoted));
    const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
    expect(() => parseJson(deep(512), 'x', 'DATASET')).not.toThrow();
    expect(() => parseJson(deep(513), 'x', 'DATASET')).toThrow(/deeper than 512/);
    expect(() => parseJson('{"a', 'x', 'DATASET')).toThrow(/x is not valid JSON/);
    expect(() => parseJson('"\\', 'x', 'DATASET')).toThrow(/x is not valid JSON/);
  });
});

describe('the bounds of Qwen-VL', () => {
  const grid = async (image: Record<string, unknown>) => {
    const directory = { config: {}, preprocessor: image, processor: undefined } as unknown as ModelDirectory;
    const qwen = new QwenVl(directory, 'qwen2_vl', '<image>', ['image_grid_thw'], undefined);
    const { players } = await qwen.encode(pattern(300, 500));
    return [players.rows, players.columns];
  };

  it('may stand in size alone, under either pair of names', async () => {
    const bounds = { min_pixels: 100 * 28 * 28, max_pixels: 110 * 28 * 28 };
    const wanted = await grid(bounds);
    expect(wanted).toEqual([8, 13]);
    expect(await grid({ size: bounds })).toEqual(wanted);
    const edges = { shortest_edge: bounds.min_pixels, longest_edge: bounds.max_pixels };
    expect(await grid({ size: edges })).toEqual(wanted);
    // As the newer processor has it: the edges are what counts where both are there.
    expect(await grid({ size: { ...edges, min_pixels: 1, max_pixels: 2000 } })).toEqual(wanted);
    expect(await grid({})).not.toEqual(wanted);
  });
});
