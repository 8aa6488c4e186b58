import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inferenceFacts } from '../../lib/inference/runtime.js';
import { Session } from '../../lib/inference/session.js';
import { fixture, fixtures, values } from './support.js';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'fsyn-session-'));
});
afterAll(() => rmSync(scratch, { recursive: true }));

test('a session describes inputs, outputs and metadata', async () => {
  const session = await Session.load(fixture('affine'));
  expect(session.inputs).toEqual([{ name: 'x', elementType: 'float32', shape: ['batch', 4] }]);
  expect(session.outputs).toEqual([{ name: 'y', elementType: 'float32', shape: ['batch', 3] }]);
  expect(session.metadata).toEqual({
    producer: 'fsyn-tests',
    graph: 'affine',
    domain: 'fsyn.test',
    description: 'affine test graph',
    version: 7,
    custom: { purpose: 'tests', colour: 'blue' },
  });
  session.dispose();
});

test('low memory changes where weights and freed blocks are, not values', async () => {
  const x = ndarray(new Float32Array([1, 0, 0, 8]), [1, 4]);
  for (const name of ['affine', 'external']) {
    const [plain, frugal] = await Promise.all([
      Session.load(fixture(name)),
      Session.load(fixture(name), { lowMemory: true }),
    ]);
    const [expected, first] = [await plain.run({ x }), await frugal.run({ x }, { keep: ['y'] })];
    const second = await frugal.run({ x });
    // The kept result outlives the return of what its run freed.
    expect(values(first.y)).toEqual(values(expected.y));
    expect(values(second.y)).toEqual(values(expected.y));
  }
  await expect(Session.load(fixture('affine'), { lowMemory: 'yes' as never })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('lowMemory'),
  });
});

test('sessions that share an arena give the same values, in any order of loading, running and closing', async () => {
  const x = ndarray(new Float32Array([1, 0, 0, 8]), [1, 4]);
  const expected = values((await (await Session.load(fixture('affine'))).run({ x })).y);
  const load = () => Session.load(fixture('affine'), { sharedArena: true });
  // The arena is made and freed with the first and the last session: more than once, and by sessions that
  // overlap.
  for (let round = 0; round < 20; round++) {
    const sessions = await Promise.all([load(), load(), load()]);
    const kept = await Promise.all(sessions.map((session) => session.run({ x }, { keep: ['y'] })));
    const late = sessions.map((session) => session.run({ x }));
    for (const session of sessions) session.dispose();
    for (const { y } of await Promise.all(late)) expect(values(y)).toEqual(expected);
    const next = await load();
    expect(values((await next.run({ x })).y)).toEqual(expected);
    next.dispose();
    // Results outlive the sessions, and the arena that they were made in.
    for (const { y } of kept) expect(values(y)).toEqual(expected);
  }
  for (const options of [{ sharedArena: 1 as never }, { sharedArena: true, lowMemory: true }]) {
    await expect(Session.load(fixture('affine'), options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('sharedArena'),
    });
  }
});

test('external weights are found beside the file, in another folder, and for bytes', async () => {
  const moved = join(scratch, 'moved');
  await cp(fixture('external'), join(scratch, 'external.onnx'));
  await cp(join(fixtures, 'external.onnx_data'), join(moved, 'external.onnx_data'));
  const sessions = await Promise.all([
    Session.load(fixture('external')),
    Session.load(join(scratch, 'external.onnx'), { externalDataFolder: moved }),
    Session.load(readFileSync(fixture('external')), { externalDataFolder: fixtures }),
  ]);
  for (const session of sessions) {
    const { y } = await session.run({ x: ndarray(new Float32Array([1, 0, 0, 8]), [1, 4]) });
    expect([...values(y)]).toEqual([9, 10.125, 11.25]);
  }
});

test.each([
  ['a missing file', 'nowhere.onnx'],
  ['a folder', 'folder.onnx'],
  ['missing external data', 'alone.onnx'],
  ['a truncated file', 'truncated.onnx'],
  ['an empty file', 'empty.onnx'],
  ['a file that is no model', 'noise.onnx'],
])('%s is MODEL_FILE, named', async (_, name) => {
  await cp(fixture('external'), join(scratch, 'alone.onnx'));
  const whole = readFileSync(fixture('affine'));
  writeFileSync(join(scratch, 'truncated.onnx'), whole.subarray(0, whole.length - 40));
  writeFileSync(join(scratch, 'empty.onnx'), '');
  writeFileSync(join(scratch, 'noise.onnx'), 'this is not a model at all');
  await cp(fixtures, join(scratch, 'folder.onnx'), { recursive: true });
  await expect(Session.load(join(scratch, name))).rejects.toMatchObject({
    name: 'FsynError',
    code: 'MODEL_FILE',
    message: expect.stringContaining(name),
  });
});

test('truncated external data is MODEL_FILE', async () => {
  const folder = mkdtempSync(join(scratch, 'short-'));
  await cp(fixture('external'), join(folder, 'external.onnx'));
  writeFileSync(join(folder, 'external.onnx_data'), new Uint8Array(8));
  await expect(Session.load(join(folder, 'external.onnx'))).rejects.toMatchObject({ code: 'MODEL_FILE' });
});

test('an operator that the runtime does not have is UNSUPPORTED_OPERATOR', async () => {
  await expect(Session.load(fixture('unknown_operator'))).rejects.toMatchObject({
    code: 'UNSUPPORTED_OPERATOR',
    message: expect.stringContaining('Mystery'),
  });
});

const cuda = inferenceFacts().providers.find((provider) => provider.name === 'cuda');
test.skipIf(cuda?.available)(
  'a provider that is not here is PROVIDER_UNAVAILABLE with a remedy',
  async () => {
    await expect(Session.load(fixture('affine'), { providers: ['cuda'] })).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringMatching(/"cuda".*npm install onnxruntime-node/s),
    });
  },
);

test('a provider that nobody knows is PROVIDER_UNAVAILABLE', async () => {
  await expect(Session.load(fixture('affine'), { providers: ['abacus'] })).rejects.toMatchObject({
    code: 'PROVIDER_UNAVAILABLE',
  });
});

test('misuse is named before any work', async () => {
  const load = (options: object) => Session.load(fixture('affine'), options);
  await expect(load({ treads: 2 })).rejects.toThrow(/Unknown option "treads"/);
  await expect(load({ threads: 0 })).rejects.toThrow(/threads but received 0/);
  await expect(load({ providers: [] })).rejects.toThrow(/providers/);
  await expect(load({ optimization: 'full' })).rejects.toThrow(/optimization/);
  await expect(Session.load(7 as unknown as string)).rejects.toThrow(/source but received 7/);
  await expect(Session.load(new Uint8Array())).rejects.toMatchObject({ code: 'MODEL_FILE' });
});

test('the optimised model is written where asked', async () => {
  const path = join(scratch, 'optimised.onnx');
  await Session.load(fixture('affine'), { optimizedModelPath: path, optimization: 'extended' });
  const again = await Session.load(path);
  expect(again.inputs[0]?.name).toBe('x');
});

test('an aborted signal rejects with its reason', async () => {
  const reason = new Error('changed my mind');
  const signal = AbortSignal.abort(reason);
  await expect(Session.load(fixture('affine'), { signal })).rejects.toBe(reason);
});

test('facts name the runtime, its providers and the machine', () => {
  const facts = inferenceFacts();
  expect(facts.runtimeVersion).toMatch(/^1\.\d+\.\d+/);
  expect(facts.runtimePath).toContain('onnxruntime');
  expect(facts.providers).toContainEqual({ name: 'cpu', available: true, problem: '' });
  for (const provider of facts.providers) expect(provider.available).toBe(provider.problem === '');
  expect(facts.memoryTotal).toBeGreaterThan(facts.memoryFree);
  expect(facts.threads).toBeGreaterThanOrEqual(1);
});
