import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ndarray from 'ndarray';
import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/statistics/random.js';
import { baselineImage } from '../../lib/vlm/images/baseline.js';
import { gaussianBlur } from '../../lib/vlm/images/blur.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { runPatches } from '../../lib/vlm/images/native.js';
import { ClipImageProcessor, roundHalfEven, toOriginal } from '../../lib/vlm/images/processor.js';
import { type Resampling, resizeImage } from '../../lib/vlm/images/resample.js';
import { pattern } from './pattern.js';

interface Golden {
  resize: {
    from: [number, number];
    to: [number, number];
    filter: Resampling;
    sha256: string;
    pixels?: string;
  }[];
  blur: { size: [number, number]; radius: number; sha256: string }[];
  processor: {
    name: string;
    config: Record<string, unknown>;
    size: [number, number];
    shape: number[];
    index: number[];
    values: number[];
    sha256: string;
  }[];
  files: { file: string; shape: [number, number, number]; pixels: string }[];
}

const folder = fileURLToPath(new URL('../golden/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}vlm-pixels.json`, 'utf8')) as Golden;

function digest(data: Uint8Array | Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    .digest('hex');
}

function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]));
  return worst;
}

describe('resizeImage equals Pillow', () => {
  it.each(golden.resize)('$from -> $to $filter', async ({ from, to, filter, sha256, pixels }) => {
    const result = await resizeImage(pattern(...from), to[0], to[1], filter);
    expect(result.shape).toEqual([to[0], to[1], 3]);
    if (pixels !== undefined) expect(maxDifference(result.data, Buffer.from(pixels, 'base64'))).toBe(0);
    expect(digest(result.data)).toBe(sha256);
  });

  it('rejects sizes below one pixel', async () => {
    await expect(resizeImage(pattern(4, 4), 0, 4, 'bicubic')).rejects.toThrow(/integer >= 1 for height/);
  });
});

describe('gaussianBlur equals Pillow', () => {
  it.each(golden.blur)('$size radius $radius', async ({ size, radius, sha256 }) => {
    expect(digest((await gaussianBlur(pattern(...size), radius)).data)).toBe(sha256);
  });

  it('copies at radius 0 and rejects negative or non-finite radii', async () => {
    const image = pattern(5, 6);
    const copy = await gaussianBlur(image, 0);
    expect(copy.data).toEqual(image.data);
    expect(copy.data).not.toBe(image.data);
    await expect(gaussianBlur(image, -1)).rejects.toThrow(/radius/);
    await expect(gaussianBlur(image, Number.NaN)).rejects.toThrow(/radius/);
  });
});

describe('ClipImageProcessor equals the Hugging Face processor', () => {
  it.each(golden.processor)('$name on $size', async ({ config, size, shape, index, values, sha256 }) => {
    const result = await new ClipImageProcessor(config).process(pattern(...size));
    expect([1, 3, result.height, result.width]).toEqual(shape);
    expect(
      maxDifference(
        index.map((i) => result.planes[i]),
        values,
      ),
    ).toBe(0);
    expect(digest(result.planes)).toBe(sha256);
  });

  it('leads boxes back to the original', async () => {
    // 480 x 640 -> 336 x 448 -> crop 336 x 336 at column 56: one processed pixel is 640 / 448 original ones.
    const { frame } = await new ClipImageProcessor({
      size: { shortest_edge: 336 },
      crop_size: { height: 336, width: 336 },
    }).process(pattern(480, 640));
    expect(toOriginal(frame, [0, 0, 336, 336])).toEqual([80, 0, 560, 480]);
  });

  it('names the key, the expectation and the finding of a bad configuration', () => {
    expect(() => new ClipImageProcessor({ image_mean: [1, 2] })).toThrow(/3 finite numbers for image_mean/);
    expect(() => new ClipImageProcessor({ size: { height: 3 } })).toThrow(/for width in .*size.*missing/);
    expect(() => new ClipImageProcessor({ do_resize: 'yes' })).toThrow(/true or false for do_resize/);
  });

  it('bounds the longest edge', async () => {
    const processor = new ClipImageProcessor({
      size: { shortest_edge: 40, longest_edge: 60 },
      do_center_crop: false,
    });
    const { height, width } = await processor.process(pattern(30, 90));
    expect([height, width]).toEqual([20, 60]);
  });
});

describe('decodeImage', () => {
  // Lossy formats go through another decoder than Pillow's; chroma upsampling may round differently by a few
  // steps.
  const lossy: Record<string, number> = { 'photo.jpg': 1, 'photo420.jpg': 3 };

  it.each(golden.files)('$file', async ({ file, shape, pixels }) => {
    const image = await decodeImage(`${folder}vlm-images/${file}`);
    expect(image.shape).toEqual(shape);
    expect(maxDifference(image.data, Buffer.from(pixels, 'base64'))).toBeLessThanOrEqual(lossy[file] ?? 0);
  });

  it('reads bytes as well as paths', async () => {
    const bytes = readFileSync(`${folder}vlm-images/rgb.png`);
    const image = await decodeImage(bytes);
    expect(image.data).toEqual(pattern(40, 56).data);
  });

  it('says what is wrong with a file that is not an image', async () => {
    await expect(decodeImage(`${folder}vlm-pixels.json`)).rejects.toMatchObject({
      name: 'FsynError',
      code: 'IMAGE',
      message: expect.stringContaining('vlm-pixels.json'),
      cause: expect.any(Error),
    });
    await expect(decodeImage(`${folder}no-such-file.png`)).rejects.toMatchObject({ code: 'IMAGE' });
    await expect(decodeImage(new Uint8Array(10))).rejects.toMatchObject({ code: 'IMAGE' });
  });

  it('rejects a truncated file', async () => {
    const bytes = readFileSync(`${folder}vlm-images/rgb.png`);
    await expect(decodeImage(bytes.subarray(0, 2000))).rejects.toMatchObject({ code: 'IMAGE' });
  });
});

describe('baselineImage', () => {
  const image = pattern(48, 64);
  const options = { baseline: 'blur', blurRadius: 30, blurUnit: 'pixels', noiseSeed: 1 } as const;

  it('blurs by pixels of the original or relative to its longer side', async () => {
    const pixels = await baselineImage(image, { ...options, blurRadius: 7 });
    expect(digest(pixels.data)).toBe(
      golden.blur.find(({ size, radius }) => size[1] === 64 && radius === 7)?.sha256,
    );
    const relative = await baselineImage(image, { ...options, blurRadius: 7 / 64, blurUnit: 'relative' });
    expect(relative.data).toEqual(pixels.data);
  });

  it('is one colour, the mean, or seeded noise', async () => {
    const mean = await baselineImage(image, { ...options, baseline: 'mean' });
    expect(new Set(mean.data).size).toBeLessThanOrEqual(3);
    const total = image.data.reduce((sum, value, i) => sum + (i % 3 === 0 ? value : 0), 0);
    expect(mean.data[0]).toBe(Math.round(total / (48 * 64)));
    const one = await baselineImage(image, { ...options, baseline: 'noise' });
    expect((await baselineImage(image, { ...options, baseline: 'noise' })).data).toEqual(one.data);
    expect((await baselineImage(image, { ...options, baseline: 'noise', noiseSeed: 2 })).data).not.toEqual(
      one.data,
    );
    // Uniform bytes: mean 127.5 with a standard error of 73.9 / sqrt(9216) = .77; 5 of them.
    const average = one.data.reduce((sum, value) => sum + value, 0) / one.data.length;
    expect(Math.abs(average - 127.5)).toBeLessThan(3.9);
  });

  it('rejects a radius that is not positive and an unknown kind', async () => {
    await expect(baselineImage(image, { ...options, blurRadius: 0 })).rejects.toThrow(/blurRadius/);
    await expect(baselineImage(image, { ...options, baseline: 'black' as 'blur' })).rejects.toThrow(
      /baseline/,
    );
  });
});

/** Patches of the first rows and columns of some values. */
function patchRequest(
  data: Uint8Array,
  height: number,
  width: number,
  side: number,
  merge: number,
  times: number,
) {
  const source = data.subarray(0, height * width * 3);
  const table = Float32Array.from({ length: 768 }, (_, i) => Math.fround(Math.sin(i)));
  return { source, height, width, side, merge, times, table };
}

it('mean, noise and patches equal their definitions bit for bit', async () => {
  const image = pattern(84, 140);
  const options = { blurRadius: 1, blurUnit: 'pixels', noiseSeed: 7 } as const;
  const sums = [0, 0, 0];
  image.data.forEach((value, i) => {
    sums[i % 3] += value;
  });
  const colour = sums.map((sum) => Math.round(sum / (84 * 140)));
  const mean = await baselineImage(image, { ...options, baseline: 'mean' });
  expect(mean.data).toEqual(image.data.map((_, i) => colour[i % 3]));
  const random = new Random(7);
  const noise = await baselineImage(image, { ...options, baseline: 'noise' });
  expect(noise.data).toEqual(image.data.map(() => random.bits() >>> 24));
  for (const [side, merge, times] of [
    [14, 2, 2],
    [4, 1, 1],
    [7, 4, 3],
  ]) {
    const request = patchRequest(image.data, 84, 140, side, merge, times);
    const patches = await runPatches(request, undefined);
    const block = side * merge;
    const expected = new Float32Array(patches.length);
    for (let i = 0; i < image.data.length; i++) {
      const [channel, x, y] = [i % 3, Math.floor(i / 3) % 140, Math.floor(i / 420)];
      const inner = Math.floor((y % block) / side) * merge + Math.floor((x % block) / side);
      const patch = (Math.floor(y / block) * (140 / block) + Math.floor(x / block)) * merge ** 2 + inner;
      for (let t = 0; t < times; t++)
        expected[((patch * 3 + channel) * times + t) * side ** 2 + (y % side) * side + (x % side)] =
          request.table[channel * 256 + image.data[i]];
    }
    expect(patches).toEqual(expected);
  }
});

describe('work on native threads', () => {
  const large = pattern(600, 800);

  it('leaves the event loop free', async () => {
    let turns = 0;
    let working = true;
    const turn = () => {
      turns++;
      if (working) setImmediate(turn);
    };
    setImmediate(turn);
    await gaussianBlur(large, 40);
    await resizeImage(large, 300, 400, 'bicubic');
    // Work that held the loop would let about one turn through each; a free loop makes hundreds on any
    // machine.
    expect(turns).toBeGreaterThan(20);
    const huge = ndarray(new Uint8Array(2000 * 3000 * 3), [2000, 3000, 3]);
    const options = { blurRadius: 1, blurUnit: 'pixels', noiseSeed: 1 } as const;
    for (const baseline of ['mean', 'noise'] as const) {
      turns = 0;
      await baselineImage(huge, { ...options, baseline });
      expect(turns).toBeGreaterThan(5);
    }
    turns = 0;
    await runPatches(patchRequest(huge.data, 1988, 2996, 14, 2, 2), undefined);
    expect(turns).toBeGreaterThan(5);
    working = false;
  });

  it('stops with the reason of an abort', async () => {
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(gaussianBlur(large, 9, signal)).rejects.toBe(reason);
    await expect(resizeImage(large, 100, 100, 'bicubic', signal)).rejects.toBe(reason);
    const options = { blurRadius: 1, blurUnit: 'pixels', noiseSeed: 1 } as const;
    await expect(baselineImage(large, { ...options, baseline: 'mean' }, signal)).rejects.toBe(reason);
    await expect(baselineImage(large, { ...options, baseline: 'noise' }, signal)).rejects.toBe(reason);
    const controller = new AbortController();
    const blurred = gaussianBlur(large, 9, controller.signal);
    controller.abort(reason);
    await expect(blurred).rejects.toBe(reason);
  });
});

it('rounds halves to even', () => {
  expect([0.5, 1.5, 2.5, -0.5, 2.4, 2.6].map(roundHalfEven)).toEqual([0, 2, 2, 0, 2, 3]);
});
