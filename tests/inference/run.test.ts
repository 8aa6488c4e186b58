import ndarray from 'ndarray';
import { expect, test } from 'vitest';
import type { TensorData } from '../../lib/addon/addon.js';
import { Session, type TensorValue } from '../../lib/inference/session.js';
import { NativeTensor } from '../../lib/inference/tensor.js';
import { fixture, values } from './support.js';

test('every element type passes unchanged', async () => {
  const session = await Session.load(fixture('types'));
  const data: Record<string, TensorData> = {
    float32: new Float32Array([1.5, -2, Number.NaN]),
    float64: new Float64Array([1e300, -2, 0]),
    float16: new Uint16Array([0x3c00, 0xc000, 0]),
    bfloat16: new Uint16Array([0x3f80, 0xc000, 0]),
    int64: new BigInt64Array([2n ** 62n, -3n, 0n]),
    uint64: new BigUint64Array([2n ** 63n, 3n, 0n]),
    int32: new Int32Array([-7, 8, 9]),
    uint32: new Uint32Array([2 ** 31, 8, 9]),
    int16: new Int16Array([-300, 8, 9]),
    uint16: new Uint16Array([60000, 8, 9]),
    int8: new Int8Array([-128, 8, 9]),
    uint8: new Uint8Array([255, 8, 9]),
    bool: new Uint8Array([1, 0, 1]),
  };
  expect(session.inputs.map((input) => input.elementType)).toEqual(Object.keys(data));
  const feeds = Object.fromEntries(
    Object.entries(data).map(([name, array]) => [`${name}_in`, ndarray(array, [3])]),
  );
  const outputs = await session.run(feeds);
  for (const [name, array] of Object.entries(data)) {
    expect(values(outputs[`${name}_out`]), name).toEqual(array);
  }
  const widened = await session.run({ ...feeds, int64_in: ndarray(new Int32Array([-5, 6, 7]), [3]) });
  expect(values(widened.int64_out)).toEqual(new BigInt64Array([-5n, 6n, 7n]));
});

test('views with strides and offsets are packed', async () => {
  const session = await Session.load(fixture('affine'));
  const wide = ndarray(
    Float32Array.from({ length: 24 }, (_, i) => i),
    [4, 6],
  );
  const view = wide.transpose(1, 0).hi(3, 4).lo(1, 0);
  const dense = ndarray(new Float32Array([1, 7, 13, 19, 2, 8, 14, 20]), [2, 4]);
  const [strided, plain] = await Promise.all([session.run({ x: view }), session.run({ x: dense })]);
  expect(values(strided.y)).toEqual(values(plain.y));
  const tail = ndarray(new Float32Array([9, 9, 9, 9, 1, 0, 0, 0]), [1, 4], [4, 1], 4);
  expect([...values((await session.run({ x: tail })).y)]).toEqual([1, 2.125, 3.25]);
});

test('an empty batch gives an empty output', async () => {
  const session = await Session.load(fixture('affine'));
  const { y } = await session.run({ x: ndarray(new Float32Array(0), [0, 4]) });
  expect(y?.shape).toEqual([0, 3]);
});

test('the fed array may be changed at once', async () => {
  const session = await Session.load(fixture('affine'));
  const x = new Float32Array([1, 0, 0, 0]);
  const pending = session.run({ x: ndarray(x, [1, 4]) });
  x.fill(100);
  expect([...values((await pending).y)]).toEqual([1, 2.125, 3.25]);
});

test('kept outputs stay native and feed further runs', async () => {
  const session = await Session.load(fixture('cache'));
  let past: TensorValue = ndarray(new Float32Array(0), [0, 2]);
  for (let step = 1; step <= 1500; step++) {
    const x = ndarray(new Float32Array([1, 2]), [1, 2]);
    const outputs = await session.run({ past, x }, { keep: ['present'] });
    if (past instanceof NativeTensor) past.dispose();
    past = outputs.present!;
    expect(values(outputs.total)[0]).toBe(3 * step);
  }
  const cache = past as NativeTensor;
  expect(cache.shape).toEqual([1500, 2]);
  expect(cache.elementType).toBe('float32');
  expect(cache.toNdArray().get(1499, 1)).toBe(2);
  cache.dispose();
  expect(() => cache.toNdArray()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  const x = ndarray(new Float32Array([1, 2]), [1, 2]);
  await expect(session.run({ past: cache, x })).rejects.toMatchObject({ code: 'DISPOSED' });
});

test('a kept tensor of another type or shape is refused', async () => {
  const cache = await Session.load(fixture('cache'));
  const affine = await Session.load(fixture('affine'));
  const types = await Session.load(fixture('types'));
  const { y } = await affine.run({ x: ndarray(new Float32Array(4), [1, 4]) }, { keep: ['y'] });
  const x = ndarray(new Float32Array(2), [1, 2]);
  await expect(cache.run({ past: y!, x })).rejects.toThrow(/Expected shape \[n, 2\].*received \[1, 3\]/);
  await expect(types.run({ int64_in: y! })).rejects.toThrow(/int64/);
});

test('an output outlives its session', async () => {
  const session = await Session.load(fixture('cache'));
  const rows = 4000;
  const past = ndarray(new Float32Array(2 * rows).fill(0.5), [rows, 2]);
  const { present } = await session.run({ past, x: ndarray(new Float32Array(2), [1, 2]) });
  session.dispose();
  expect(values(present)).toHaveLength(2 * rows + 2);
  expect(values(present)[rows]).toBe(0.5);
});

test('misuse is named before any work', async () => {
  const session = await Session.load(fixture('affine'));
  const good = ndarray(new Float32Array(4), [1, 4]);
  const run = (feeds: Record<string, unknown>, options?: object) =>
    session.run(feeds as Record<string, TensorValue>, options);
  await expect(run({ z: good })).rejects.toThrow(/no input "z"; its inputs are: x/);
  await expect(run({})).rejects.toThrow(/Missing model inputs: x/);
  await expect(run({ x: new Float32Array(4) })).rejects.toThrow(/an ndarray or a NativeTensor/);
  await expect(run({ x: ndarray(new Float64Array(4), [1, 4]) })).rejects.toThrow(
    /a Float32Array for element type float32 for input "x" but received Float64Array/,
  );
  await expect(run({ x: ndarray(new Float32Array(5), [1, 5]) })).rejects.toThrow(
    /Expected shape \[batch, 4\] for input "x" but received \[1, 5\]/,
  );
  await expect(run({ x: ndarray(new Float32Array(4), [4]) })).rejects.toThrow(/Expected shape/);
  await expect(run({ x: ndarray(new Float32Array(4), [2, 4]) })).rejects.toThrow(/8 values/);
  await expect(run({ x: good }, { outputs: ['q'] })).rejects.toThrow(/no output "q"/);
  await expect(run({ x: good }, { keep: ['q'] })).rejects.toThrow(/keep/);
  await expect(run({ x: good }, { output: ['y'] })).rejects.toThrow(/Unknown option "output"/);
  session.dispose();
  session.dispose();
  await expect(run({ x: good })).rejects.toMatchObject({ code: 'DISPOSED' });
});

test('a failure inside the model is INFERENCE, named, and leaves the session usable', async () => {
  const session = await Session.load(fixture('square'));
  await expect(session.run({ x: ndarray(new Float32Array(5), [5]) })).rejects.toMatchObject({
    code: 'INFERENCE',
    message: expect.stringContaining('square.onnx'),
  });
  const { y } = await session.run({ x: ndarray(new Float32Array([1, 2, 3, 4]), [4]) });
  expect(y?.shape).toEqual([2, 2]);
});
