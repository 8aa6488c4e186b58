import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FsynError } from '../../lib/errors.js';
import { readManifest } from '../../lib/vlm/classifier/manifest.js';
import { Idefics3 } from '../../lib/vlm/decoder/architectures/idefics3.js';
import { InternVl } from '../../lib/vlm/decoder/architectures/internvl.js';
import { Llava } from '../../lib/vlm/decoder/architectures/llava.js';
import { QwenVl } from '../../lib/vlm/decoder/architectures/qwen-vl.js';
import type { ModelDirectory } from '../../lib/vlm/files/directory.js';
import { pattern } from './pattern.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-bounds-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image = pattern(48, 64);
/** What files of strangers hold in the place of a size. */
const sizes = [1e8, 1e12, 1e308, 2 ** 31, -1, 0, 1.5, '64', null, [], true];

type Values = Record<string, unknown>;

function directory(preprocessor: Values, config: Values = {}): ModelDirectory {
  return { config, preprocessor, tokenizerConfig: {} } as unknown as ModelDirectory;
}

/** Each family with one value in the place of each of its sizes. */
const families: Record<string, (value: unknown) => [string, () => Promise<unknown>][]> = {
  llava: (value) => {
    const encode = async (preprocessor: Values, vision: Values = { patch_size: 8 }) =>
      new Llava(directory(preprocessor, { vision_config: vision }), '<image>').encode(image);
    const size = { shortest_edge: 32 };
    return [
      ['size', () => encode({ size: value })],
      ['size.shortest_edge', () => encode({ size: { shortest_edge: value } })],
      ['size.height', () => encode({ size: { height: value, width: 32 }, do_center_crop: false })],
      ['size.longest_edge', () => encode({ size: { ...size, longest_edge: value } })],
      ['crop_size', () => encode({ size, crop_size: value })],
      ['crop_size.width', () => encode({ size, crop_size: { height: 32, width: value } })],
      ['patch_size', () => encode({ size }, { patch_size: value })],
      ['image_std', () => encode({ size, image_std: [1, value, 1] })],
      ['rescale_factor', () => encode({ size, rescale_factor: value })],
      ['resample', () => encode({ size, resample: value })],
    ];
  },
  qwen: (value) => {
    const encode = async (change: Values, window: unknown = 16) => {
      const geometry = { patch_size: 4, merge_size: 2, min_pixels: 64, max_pixels: 9000, ...change };
      const config = { vision_config: { window_size: window } };
      return new QwenVl(directory(geometry, config), 'qwen2_5_vl', '<image>', ['grid_thw'], undefined).encode(
        image,
      );
    };
    return [
      ...['patch_size', 'merge_size', 'temporal_patch_size', 'min_pixels', 'max_pixels'].map(
        (key): [string, () => Promise<unknown>] => [key, () => encode({ [key]: value })],
      ),
      ['window_size', () => encode({}, value)],
    ];
  },
  internvl: (value) => {
    const encode = async (change: Values, config: Values = { vision_config: { patch_size: 4 } }) =>
      new InternVl(
        directory({ size: { height: 32, width: 32 }, ...change }, config),
        '<i>',
        undefined,
      ).encode(image);
    return [
      ['size', () => encode({ size: value })],
      ['size.height', () => encode({ size: { height: value, width: 32 } })],
      ['min_patches', () => encode({ min_patches: value })],
      ['max_patches', () => encode({ max_patches: value })],
      ['patch_size', () => encode({}, { vision_config: { patch_size: value } })],
      ['patch_size[0]', () => encode({}, { vision_config: { patch_size: [value, value] } })],
      ['downsample_ratio', () => encode({}, { vision_config: { patch_size: 4 }, downsample_ratio: value })],
    ];
  },
  idefics3: (value) => {
    const encode = async (change: Values, vision: Values = { patch_size: 4 }, scale: unknown = 2) => {
      const preprocessor = { max_image_size: { longest_edge: 32 }, size: { longest_edge: 64 }, ...change };
      const config = { vision_config: vision, scale_factor: scale };
      return new Idefics3(directory(preprocessor, config), 'idefics3', '<image>', []).encode(image);
    };
    return [
      ['max_image_size', () => encode({ max_image_size: value })],
      ['max_image_size.longest_edge', () => encode({ max_image_size: { longest_edge: value } })],
      ['size.longest_edge', () => encode({ size: { longest_edge: value } })],
      ['patch_size', () => encode({}, { patch_size: value })],
      ['scale_factor', () => encode({}, { patch_size: 4 }, value)],
    ];
  },
  manifest: (value) => {
    const read = async (change: (manifest: { image: Values; question: Values }) => void) => {
      const manifest = {
        format: 'fsyn-classifier-1',
        model: 'm.onnx',
        image: { input: 'i', layout: 'NCHW', height: 8, width: 8, rows: 2, columns: 2 } as Values,
        question: { input: 'q', encoding: 'token-ids', vocabulary: { a: 1 }, padId: 0 } as Values,
        output: { logits: 'l', answers: ['yes', 'no'] },
      };
      change(manifest);
      const path = join(folder, 'classifier.json');
      writeFileSync(path, JSON.stringify(manifest));
      return readManifest(path);
    };
    return [
      ...['height', 'width', 'rows', 'columns', 'scale', 'mean', 'std'].map(
        (key): [string, () => Promise<unknown>] => [
          `image.${key}`,
          () => read(({ image }) => Object.assign(image, { [key]: value })),
        ],
      ),
      ...['length', 'padId', 'unknown', 'vocabulary', 'pattern'].map(
        (key): [string, () => Promise<unknown>] => [
          `question.${key}`,
          () => read(({ question }) => Object.assign(question, { [key]: value })),
        ],
      ),
      ['vocabulary.a', () => read(({ question }) => Object.assign(question, { vocabulary: { a: value } }))],
    ];
  },
};

describe.each(Object.keys(families))('%s', (name) => {
  it.each(sizes)(
    'takes %j for a size or refuses it with a code, at once',
    { timeout: 120_000 },
    async (value) => {
      for (const [key, use] of families[name](value)) {
        const begun = performance.now();
        const error = await use().then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        if (error !== undefined) expect(error, `${key}: ${error}`).toBeInstanceOf(FsynError);
        // Far above what the largest accepted size takes, far below what a size that is not bounded takes.
        expect(performance.now() - begun, key).toBeLessThan(60_000);
      }
    },
  );
});

it('a configuration is not taken for one of another size', async () => {
  for (const [key, use] of families.internvl(1e8))
    if (key !== 'min_patches') await expect(use(), key).rejects.toMatchObject({ code: 'MODEL_CONTRACT' });
  const inverted = { size: { height: 32, width: 32 }, min_patches: 5, max_patches: 4 };
  expect(() => new InternVl(directory(inverted, {}), '<i>', undefined)).toThrow(
    /min_patches up to max_patches/,
  );
});
