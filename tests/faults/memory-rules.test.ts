import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { expect, test } from 'vitest';
import { type FsynError, Session } from '../../lib/index.js';
import {
  interactions,
  interactionsSync,
  transform,
  transformSync,
  ValueTable,
} from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';
import { gaussianBlur } from '../../lib/vlm/images/blur.js';

// What strangers' code may do to memory while native threads read it: every array of these tests is moved
// away, and its memory freed or overwritten, in the very turn in which the work began.

const players = 18;
const filled = (count: number) => Float64Array.from({ length: 2 ** count }, (_, i) => Math.sin(i));

/** Whether arrays hold the same bytes; `toEqual` takes seconds for a table. */
function expectSame(actual: NodeJS.ArrayBufferView, expected: NodeJS.ArrayBufferView) {
  const bytes = (array: NodeJS.ArrayBufferView) =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  expect(bytes(actual).equals(bytes(expected))).toBe(true);
}

/** Moves the memory of an array to a new owner, who scribbles over it and drops it. */
function steal(array: Float64Array | Uint8Array) {
  const moved = structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  new Uint8Array(moved).fill(0xff);
  expect(array.length).toBe(0);
}

test('interactions of a table that is moved away meanwhile are those of the table as it was', async () => {
  const expected = interactionsSync(ValueTable.from(filled(players)), { order: 2 }).values;
  const values = filled(players);
  const pending = interactions(ValueTable.from(values), { order: 2 });
  steal(values);
  expect((await pending).values).toEqual(expected);
});

test('a table in native memory is shared with the thread, and survives its array', async () => {
  const expected = interactionsSync(ValueTable.from(filled(players)), { order: 3 }).values;
  const game = ValueTable.allocate(players);
  (game.values as Float64Array).set(filled(players));
  expect(game.held().values).toBe(game.values);
  const pending = interactions(game, { order: 3 });
  const buffer = game.values.buffer as ArrayBuffer & { transfer?(length: number): ArrayBuffer };
  buffer.transfer?.(8);
  expect((await pending).values).toEqual(expected);
});

test('a transform in place gives the same in every memory, and says when the array is gone', async () => {
  const expected = transformSync(filled(players), 'moebius');
  const foreign = filled(players);
  expect(await transform(foreign, 'moebius', { inPlace: true })).toBe(foreign);
  expectSame(foreign, expected);
  const { values } = ValueTable.allocate(players);
  values.set(filled(players));
  expect(await transform(values, 'moebius', { inPlace: true })).toBe(values);
  expectSame(values, expected);
  const lost = filled(players);
  const pending = transform(lost, 'moebius', { inPlace: true });
  steal(lost);
  await expect(pending).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('a model is loaded from bytes that are moved away meanwhile', async () => {
  const path = join(packageInfo().root, 'bench/models/llava-tiny/model/onnx/embed_tokens.onnx');
  const bytes = new Uint8Array(readFileSync(path));
  const pending = Session.load(bytes);
  // The copy is taken behind an await, before any other turn of the event loop.
  setImmediate(() => steal(bytes));
  using session = await pending;
  expect(session.inputs[0].name).toBe('input_ids');
});

test('an image is blurred as it was', async () => {
  const pixels = () => Uint8Array.from({ length: 300 * 200 * 3 }, (_, i) => (i * 7) % 256);
  const expected = await gaussianBlur(ndarray(pixels(), [300, 200, 3]), 4);
  const source = pixels();
  const pending = gaussianBlur(ndarray(source, [300, 200, 3]), 4);
  steal(source);
  expectSame((await pending).data as Uint8Array, expected.data as Uint8Array);
});

// TypeScript's library of Node 20 does not know resizable buffers.
type Resizable = new (length: number, options: { maxByteLength: number }) => ArrayBuffer;

test('memory that can be resized, and shared feeds, are refused with their names', async () => {
  const resizable = new (ArrayBuffer as unknown as Resizable)(64, { maxByteLength: 128 });
  const growable = new (SharedArrayBuffer as unknown as Resizable)(64, { maxByteLength: 128 });
  const refusal = (parameter: string) => ({
    code: 'INVALID_ARGUMENT' satisfies FsynError['code'],
    message: expect.stringContaining(parameter) as string,
  });
  for (const buffer of [resizable, growable]) {
    expect(() => ValueTable.from(new Float64Array(buffer))).toThrow(
      expect.objectContaining(refusal('values')),
    );
    expect(() => transformSync(new Float64Array(buffer), 'zeta')).toThrow(
      expect.objectContaining(refusal('values')),
    );
  }
  await expect(Session.load(new Uint8Array(resizable))).rejects.toMatchObject(refusal('source'));

  using session = await Session.load(
    join(packageInfo().root, 'bench/models/llava-tiny/model/onnx/embed_tokens.onnx'),
  );
  const run = (buffer: ArrayBufferLike) =>
    session.run({ input_ids: ndarray(new BigInt64Array(buffer) as BigInt64Array<ArrayBuffer>, [1, 8]) });
  for (const buffer of [resizable, new SharedArrayBuffer(64)])
    await expect(run(buffer)).rejects.toMatchObject(refusal('input_ids'));
});

test('a table in shared memory of a fixed length is taken, and copied for other threads', async () => {
  const shared = new Float64Array(new SharedArrayBuffer(8 * 2 ** 10));
  shared.set(filled(10));
  const game = ValueTable.from(shared);
  const expected = interactionsSync(ValueTable.from(filled(10)), { order: 2 }).values;
  expect(interactionsSync(game, { order: 2 }).values).toEqual(expected);
  const pending = interactions(game, { order: 2 });
  shared.fill(0);
  expect((await pending).values).toEqual(expected);
});
