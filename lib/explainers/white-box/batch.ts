import ndarray from 'ndarray';
import { EXPORTED } from '../../onnx/exported.js';
import type { ModelFeed } from '../../vlm/types.js';

/** Arrays one after the other; a single one is not copied. */
export function concatenated(arrays: readonly Float32Array[]): Float32Array {
  if (arrays.length === 1) return arrays[0];
  const joined = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}

/** Equal consecutive parts, as views. */
export function parts(array: Float32Array, count: number): Float32Array[] {
  const size = array.length / count;
  return Array.from({ length: count }, (_, i) => array.subarray(i * size, (i + 1) * size));
}

/**
 * The decoder's inputs for `count` equal sequences: batch axes of extent 1 repeated. M-RoPE positions [3, 1,
 * length] have theirs in the middle.
 */
export function repeatedFeeds(
  feeds: Readonly<Record<string, ModelFeed>>,
  count: number,
): Record<string, ModelFeed> {
  if (count === 1) return { ...feeds };
  return Object.fromEntries(
    Object.entries(feeds).map(([name, feed]) => {
      const { shape } = feed;
      const axis = name === EXPORTED.positions && shape.length === 3 ? 1 : 0;
      return [name, shape.length > 1 && shape[axis] === 1 ? repeated(feed, axis, count) : feed];
    }),
  );
}

function repeated(feed: ModelFeed, axis: number, count: number): ModelFeed {
  const { shape } = feed;
  const data = feed.data as Float32Array;
  const inner = shape.slice(axis + 1).reduce((product, extent) => product * extent, 1);
  const outer = shape.slice(0, axis).reduce((product, extent) => product * extent, 1);
  const values = new (data.constructor as typeof Float32Array)(data.length * count);
  for (let block = 0; block < outer; block++) {
    const row = data.subarray(block * inner, (block + 1) * inner);
    for (let copy = 0; copy < count; copy++) values.set(row, (block * count + copy) * inner);
  }
  return ndarray(
    values,
    shape.map((extent, i) => (i === axis ? count : extent)),
  ) as ModelFeed;
}

interface Gradients {
  readonly explained: number;
  readonly pixelGradient: Float32Array;
  readonly embeddingGradient: Float32Array;
}

/**
 * Batches change the order of some float32 sums: 1e-4 of the largest value is far above that, and far below a
 * mix-up.
 */
const SAME = 1e-4;

export function sameGradients(a: Gradients, b: Gradients): boolean {
  const close = (x: ArrayLike<number>, y: ArrayLike<number>) => {
    let [difference, scale] = [0, 0];
    for (let i = 0; i < y.length; i++) {
      difference = Math.max(difference, Math.abs(x[i] - y[i]));
      scale = Math.max(scale, Math.abs(y[i]));
    }
    return x.length === y.length && difference <= SAME * scale;
  };
  return (
    close([a.explained], [b.explained]) &&
    close(a.pixelGradient, b.pixelGradient) &&
    close(a.embeddingGradient, b.embeddingGradient)
  );
}
