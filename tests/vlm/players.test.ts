import ndarray from 'ndarray';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Architecture, ImageEncoding } from '../../lib/vlm/decoder/architecture.js';
import { Idefics3, longestSide, wholeTiles } from '../../lib/vlm/decoder/architectures/idefics3.js';
import { chooseTiles, InternVl } from '../../lib/vlm/decoder/architectures/internvl.js';
import { Llava } from '../../lib/vlm/decoder/architectures/llava.js';
import { QwenVl, smartResize } from '../../lib/vlm/decoder/architectures/qwen-vl.js';
import type { ModelDirectory } from '../../lib/vlm/files/directory.js';
import { maskPixels } from '../../lib/vlm/masking.js';
import type { RgbImage } from '../../lib/vlm/types.js';

/**
 * A directory of configuration only; pixels stay the image's own numbers, so that they can be read as cell
 * numbers.
 */
function directory(image: Record<string, unknown>, config: Record<string, unknown> = {}): ModelDirectory {
  return {
    path: '',
    config,
    generation: undefined,
    preprocessor: { do_rescale: false, do_normalize: false, resample: 0, ...image },
    processor: undefined,
    tokenizer: {},
    tokenizerConfig: {},
    chatTemplate: undefined,
  };
}

/** An image in which every pixel holds the number that `cell` gives it. */
function painted(height: number, width: number, cell: (y: number, x: number) => number): RgbImage {
  const data = new Uint8Array(height * width * 3);
  for (let i = 0; i < height * width; i++)
    data.fill(cell(Math.floor(i / width), i % width), i * 3, i * 3 + 3);
  return ndarray(data, [height, width, 3]);
}

const grid = (cell: number, columns: number) => (y: number, x: number) =>
  Math.floor(y / cell) * columns + Math.floor(x / cell);

const llava = new Llava(
  directory(
    { size: { height: 28, width: 42 }, do_center_crop: false },
    { vision_config: { patch_size: 7, model_type: 'clip_vision_model' } },
  ),
  '<image>',
);
const qwen = new QwenVl(
  directory(
    { patch_size: 4, merge_size: 2, size: { shortest_edge: 64, longest_edge: 10_000 } },
    { vision_config: { window_size: 16 } },
  ),
  'qwen2_5_vl',
  '<image>',
  ['pixel_values', 'image_grid_thw'],
  undefined,
);
const internvl = new InternVl(
  directory({ size: { height: 32, width: 32 }, max_patches: 6 }, { vision_config: { patch_size: [4, 4] } }),
  '<image>',
  undefined,
);

const idefics3 = new Idefics3(
  directory(
    { size: { longest_edge: 96 }, max_image_size: { longest_edge: 32 } },
    { scale_factor: 2, vision_config: { patch_size: 4 } },
  ),
  'idefics3',
  '<image>',
  ['pixel_values'],
);
/** The cell of 4 x 4 in tiles of 32 pixels, three beside each other. */
const tiled = (y: number, x: number) =>
  (Math.floor(y / 32) * 3 + Math.floor(x / 32)) * 16 +
  Math.floor((y % 32) / 8) * 4 +
  Math.floor((x % 32) / 8);

describe.each<[string, Architecture, RgbImage, number]>([
  ['LLaVA, 4 x 6 patches', llava, painted(28, 42, grid(7, 6)), 24],
  ['Qwen2.5-VL, 5 x 7 merged tokens', qwen, painted(40, 56, grid(8, 7)), 35],
  ['InternVL, one tile', internvl, painted(32, 32, grid(8, 4)), 16],
  [
    // Three tiles beside each other; the thumbnail shows every third column, so its cells are painted
    // separately below.
    'InternVL, three tiles without their thumbnail',
    internvl,
    painted(32, 96, tiled),
    48,
  ],
  ['Idefics3, 2 x 3 tiles without the whole', idefics3, painted(64, 96, tiled), 96],
])('%s', (_, architecture, image, count) => {
  let encoding: ImageEncoding;
  let elements: number;
  beforeAll(async () => {
    encoding = await architecture.encode(image);
    elements = (encoding.pixels.length / encoding.players.count) * count;
  });

  it('gives every pixel element to the player whose cell it shows', () => {
    expect(Array.from(encoding.pixelPlayers.subarray(0, elements))).toEqual(
      Array.from(encoding.pixels.subarray(0, elements)),
    );
  });

  it('changes exactly the cell of an absent player, for every player', () => {
    const baseline = new Float32Array(encoding.pixels.length).fill(255);
    for (let player = 0; player < count; player++) {
      const present = new Uint8Array(encoding.players.count).fill(1);
      present[player] = 0;
      const masked = maskPixels(encoding.pixels, baseline, encoding.pixelPlayers, present);
      for (let i = 0; i < elements; i++) {
        const wanted = encoding.pixels[i] === player ? 255 : encoding.pixels[i];
        if (masked[i] !== wanted) expect([player, i, masked[i]]).toEqual([player, i, wanted]);
      }
      expect(masked.subarray(elements)).toEqual(encoding.pixels.subarray(elements));
    }
  });

  it('puts every box where its cell is in the original', () => {
    for (let player = 0; player < count; player++) {
      const [x0, y0, x1, y1] = encoding.players.boxes.subarray(player * 4, player * 4 + 4);
      const [, width] = image.shape;
      for (const [x, y] of [
        [x0, y0],
        [x1 - 1, y0],
        [x0, y1 - 1],
        [x1 - 1, y1 - 1],
      ]) {
        expect(image.data[(y * width + x) * 3]).toBe(player);
      }
    }
  });
});

describe('InternVL tiles', () => {
  it('ends with a thumbnail whose cells are players of their own', async () => {
    // 64 x 96: 2 x 3 tiles; a cell of the thumbnail shows 24 x 16 original pixels.
    const image = painted(64, 96, (y, x) => Math.floor(y / 16) * 4 + Math.floor(x / 24));
    const { pixels, players, pixelPlayers, featurePlayers } = await internvl.encode(image);
    expect(players).toMatchObject({ tiles: 7, rows: 4, columns: 4, count: 112 });
    expect(featurePlayers.length).toBe(112);
    const size = 3 * 32 * 32;
    const thumbnail = Array.from(pixels.subarray(6 * size), (cell) => 96 + cell);
    expect(Array.from(pixelPlayers.subarray(6 * size))).toEqual(thumbnail);
    expect(Array.from(players.boxes.subarray(97 * 4, 98 * 4))).toEqual([24, 0, 48, 16]);
  });

  it('are chosen by aspect ratio, the larger grid only for an image large enough', () => {
    expect(chooseTiles(32, 32, 32, 32, 1, 12)).toEqual([1, 1]);
    expect(chooseTiles(64, 64, 32, 32, 1, 12)).toEqual([2, 2]);
    expect(chooseTiles(33, 66, 32, 32, 1, 12)).toEqual([2, 1]);
    expect(chooseTiles(64, 128, 32, 32, 1, 12)).toEqual([4, 2]);
    expect(chooseTiles(200, 10, 32, 32, 1, 6)).toEqual([1, 6]);
    expect(chooseTiles(480, 640, 448, 448, 1, 2)).toEqual([1, 1]);
  });
});

describe('Idefics3 tiles', () => {
  it('are named in the prompt, row by row, and followed by the whole', async () => {
    const { promptText, players, extras } = await idefics3.encode(painted(64, 96, tiled));
    expect(players).toMatchObject({ tiles: 7, count: 112 });
    expect(extras).toEqual({});
    const named = promptText.replaceAll('<image>', '').replaceAll('<fake_token_around_image>', '|');
    const rows = '|<row_1_col_1>|<row_1_col_2>|<row_1_col_3>\n|<row_2_col_1>|<row_2_col_2>|<row_2_col_3>\n';
    expect(named).toBe(`${rows}\n|<global-img>|`);
    expect(promptText.split('<image>').length - 1).toBe(112);
  });

  it('have sizes that the Python processor gives', () => {
    expect(longestSide(480, 640, 2048)).toEqual([1536, 2048]);
    expect(longestSide(641, 480, 1456)).toEqual([1456, 1090]);
    expect(longestSide(3, 3000, 1456)).toEqual([2, 1456]);
    expect(wholeTiles(1536, 2048, 512)).toEqual([1536, 2048]);
    expect(wholeTiles(1092, 1456, 364)).toEqual([1092, 1456]);
    expect(wholeTiles(80, 60, 32)).toEqual([96, 96]);
  });
});

describe('Qwen-VL geometry', () => {
  it('resizes to multiples of the cell within the bounds', () => {
    expect(smartResize(480, 640, 28, 3136, 313_600)).toEqual([476, 644]);
    expect(smartResize(1000, 1000, 28, 3136, 313_600)).toEqual([560, 560]);
    expect(smartResize(10, 10, 28, 3136, 313_600)).toEqual([56, 56]);
    // 42 / 28 = 1.5 goes to the even 2, 70 / 28 = 2.5 as well.
    expect(smartResize(42, 70, 28, 1, 1e9)).toEqual([56, 56]);
    expect(() => smartResize(10, 3000, 28, 1, 1e9)).toThrow(/aspect ratios up to 200/);
  });

  it('lists the tower’s tokens window by window', async () => {
    // Windows of 2 x 2 merged tokens on a 3 x 3 grid; every token is four patches.
    const { visionTokenPlayers } = await qwen.encode(painted(24, 24, grid(8, 3)));
    const tokens = Array.from(visionTokenPlayers).filter((_, i) => i % 4 === 0);
    expect(tokens).toEqual([0, 1, 3, 4, 2, 5, 6, 7, 8]);
    expect(visionTokenPlayers.length).toBe(36);
  });

  it('feeds the grid under the name that the export has', async () => {
    const config = { patch_size: 4, merge_size: 2, min_pixels: 64, max_pixels: 10_000 };
    const make = (...inputs: string[]) => new QwenVl(directory(config), 'qwen2_vl', '<image>', inputs, 256);
    const { extras, players } = await make('pixel_values', 'grid_thw').encode(painted(24, 24, () => 0));
    expect(extras).toEqual({ grid_thw: { values: Int32Array.of(1, 4, 4), shape: [1, 3] } });
    expect(players.count).toBe(4);
    expect(() => make('pixel_values')).toThrow(/image_grid_thw or grid_thw.*it has: pixel_values/);
  });

  it('counts positions on after the larger side of the image', async () => {
    const encoding = await qwen.encode(painted(16, 24, grid(8, 3)));
    const ids = Int32Array.of(7, 9, 1, 1, 1, 1, 1, 1, 8, 8);
    const positions = qwen.positions(ids, Int32Array.of(2, 3, 4, 5, 6, 7), encoding);
    expect(Array.from(positions)).toEqual([
      0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 0, 1, 2, 3, 4, 2, 3, 4, 5, 6,
    ]);
  });
});
