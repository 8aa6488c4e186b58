import ndarray from 'ndarray';
import { checkInteger } from '../../checks.js';
import type { RgbImage } from '../types.js';
import { checkExtent } from './limits.js';
import { runResample, type Taps } from './native.js';

export type Resampling = 'nearest' | 'box' | 'bilinear' | 'hamming' | 'bicubic' | 'lanczos';

interface Filter {
  readonly support: number;
  readonly weight: (x: number) => number;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

const filters: Record<Exclude<Resampling, 'nearest'>, Filter> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI))),
  },
  // Keys' cubic with a = -0.5, Pillow's choice.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

// Pillow keeps 8-bit weights as integers: 32 bits less 8 for the pixel and 2 for overshoot of negative lobes.
const precisionBits = 22;

/** Fixed-point weights of every output sample along one axis; the filter widens when the image shrinks. */
function computeTaps(input: number, output: number, filter: Filter): Taps {
  const scale = input / output;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const size = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(output);
  const count = new Int32Array(output);
  const weights = new Int32Array(output * size);
  const raw = new Float64Array(size);
  for (let i = 0; i < output; i++) {
    const centre = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(input, Math.trunc(centre + support + 0.5));
    let total = 0;
    for (let x = low; x < high; x++) {
      const weight = filter.weight((x - centre + 0.5) * (1 / stretch));
      raw[x - low] = weight;
      total += weight;
    }
    for (let k = 0; k < high - low; k++) {
      const weight = (total === 0 ? raw[k] : raw[k] / total) * 2 ** precisionBits;
      weights[i * size + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    first[i] = low;
    count[i] = high - low;
  }
  return { size, first, count, weights };
}

/**
 * Source index of every output sample; the centre is advanced by addition because Pillow's rounding depends
 * on it.
 */
function nearestIndices(input: number, output: number): Int32Array {
  const scale = input / output;
  const indices = new Int32Array(output);
  let centre = scale * 0.5;
  for (let i = 0; i < output; i++) {
    indices[i] = Math.min(Math.trunc(centre), input - 1);
    centre += scale;
  }
  return indices;
}

function nearest(image: RgbImage, height: number, width: number): RgbImage {
  const [rows, columns] = image.shape as [number, number, number];
  const fromRows = nearestIndices(rows, height);
  const fromColumns = nearestIndices(columns, width);
  const target = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = (fromRows[y] * columns + fromColumns[x]) * 3;
      const to = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) target[to + c] = image.data[from + c];
    }
  }
  return ndarray(target, [height, width, 3]);
}

/**
 * Resizes an image as Pillow's `Image.resize` does in 8 bits, bit for bit: separable, antialiased (the filter
 * widens with the reduction), columns before rows, fixed-point weights, rounded to 8 bits between the passes.
 * Runs on native threads.
 *
 * @param image [h, w, 3], values 0..255
 * @param height rows of the result, >= 1
 * @param width columns of the result, >= 1
 * @returns [height, width, 3]; the input itself when the size does not change
 */
export async function resizeImage(
  image: RgbImage,
  height: number,
  width: number,
  resampling: Resampling,
  signal?: AbortSignal,
): Promise<RgbImage> {
  checkInteger('height', height, 1);
  checkInteger('width', width, 1);
  checkExtent(height, width);
  const [rows, columns] = image.shape as [number, number, number];
  if (rows === height && columns === width) return image;
  if (resampling === 'nearest') return nearest(image, height, width);
  const filter = filters[resampling];
  const request = {
    source: image.data,
    height: rows,
    width: columns,
    newHeight: height,
    newWidth: width,
    columns: columns === width ? undefined : computeTaps(columns, width, filter),
    rows: rows === height ? undefined : computeTaps(rows, height, filter),
  };
  return ndarray(await runResample(request, signal), [height, width, 3]);
}
