import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Session } from '../../lib/inference/session.js';
import { externalFiles } from '../../lib/onnx/external-data.js';
import { makeNode, valueInfo } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { createMessage, serializeModel } from '../../lib/onnx/protobuf.js';

const root = mkdtempSync(join(tmpdir(), 'fsyn-external-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const value = 42.5;
const weights = new Uint8Array(new Float32Array(16).fill(value).buffer);

function model(location: string, entries: Record<string, string> = {}): Uint8Array {
  const data = { location, offset: '0', length: '64', ...entries };
  const weight = createMessage('TensorProto', {
    name: 'w',
    dataType: 1,
    dims: [16n],
    dataLocation: 1,
    externalData: Object.entries(data).map(([key, text]) =>
      createMessage('StringStringEntryProto', { key, value: text }),
    ),
  });
  delete (weight as { rawData?: Uint8Array }).rawData;
  const graph = createMessage('GraphProto', {
    name: 'g',
    node: [makeNode('Add', ['x', 'w'], ['y'])],
    initializer: [weight],
    input: [valueInfo('x', 1, [16])],
    output: [valueInfo('y', 1, [16])],
  });
  const opsetImport = [createMessage('OperatorSetIdProto', { domain: '', version: 17n })];
  return serializeModel(createMessage('ModelProto', { irVersion: 8n, opsetImport, graph }));
}

/** What the runtime adds when it takes the weights from where the reader found them. */
async function added(path: string): Promise<number> {
  const read = await OnnxModel.load(path);
  const session = await Session.load(read.serialize(), { externalDataFolder: read.folder! });
  const { y } = await session.run({ x: ndarray(new Float32Array(16), [16]) });
  session.dispose();
  const bytes = await read.readInitializer('w');
  expect(new Float32Array(bytes.slice().buffer)[15]).toBe(value);
  return Number((y as ndarray.NdArray<Float32Array>).data[15]);
}

const folder = join(root, 'model');
const write = (location: string, entries?: Record<string, string>): string => {
  const path = join(folder, 'm.onnx');
  writeFileSync(path, model(location, entries));
  return path;
};

beforeAll(() => {
  mkdirSync(join(folder, 'sub'), { recursive: true });
  for (const path of [join(root, 'secret.bin'), join(folder, 'ok.bin'), join(folder, 'sub', 'ok.bin')])
    writeFileSync(path, weights);
  symlinkSync(join(root, 'secret.bin'), join(folder, 'link.bin'));
  symlinkSync(root, join(folder, 'way'));
  symlinkSync(join(folder, 'ok.bin'), join(folder, 'inner.bin'));
});

describe('external data', () => {
  it.each(['ok.bin', 'sub/ok.bin', './sub/../ok.bin', 'inner.bin'])('is read from %s', async (location) => {
    expect(await added(write(location))).toBe(value);
  });

  it.each([
    '../secret.bin',
    'sub/../../secret.bin',
    join(root, 'secret.bin'),
    'link.bin',
    'way/secret.bin',
    '/dev/zero',
    'sub',
    '.',
    'ok.bin\0',
  ])('is not read from %j, nor hashed', async (location) => {
    const path = write(location);
    const refused = {
      code: 'MODEL_FILE',
      message: expect.stringMatching(/expected external data in the model's folder/),
    };
    await expect(OnnxModel.load(path)).rejects.toMatchObject(refused);
    await expect(externalFiles(path)).rejects.toMatchObject(refused);
    const inMemory = OnnxModel.fromBytes(model(location), { folder });
    await expect(inMemory.readInitializer('w')).rejects.toMatchObject(refused);
  });

  it.each<Record<string, string>>([
    { offset: '-8' },
    { offset: 'abc' },
    { offset: '0x10' },
    { offset: '9223372036854775807' },
    { length: '18446744073709551615' },
    { length: '65' },
    { offset: '64', length: '1' },
    { offset: '65', length: '0' },
  ])('of %j is refused', async (entries) => {
    await expect(OnnxModel.load(write('ok.bin', entries))).rejects.toMatchObject({ code: 'MODEL_FILE' });
  });

  it('that Git LFS did not fetch is named', async () => {
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'ef'.repeat(32)}\nsize 64\n`;
    writeFileSync(join(folder, 'pointer.bin'), pointer);
    const path = write('pointer.bin', { length: '4096' });
    await expect(OnnxModel.load(path)).rejects.toThrow(/pointer\.bin" is a Git LFS pointer/);
  });

  it('that is missing is named', async () => {
    await expect(OnnxModel.load(write('gone.bin'))).rejects.toThrow(/gone\.bin \(tensor w\) is missing from/);
    expect(await externalFiles(write('gone.bin'))).toEqual([
      { location: 'gone.bin', path: join(folder, 'gone.bin') },
    ]);
  });

  it('is found behind a link of the model file, under the name that it has there, and nowhere else', async () => {
    const blobs = join(root, 'blobs');
    const snapshot = join(root, 'snapshots', 'abc', 'onnx');
    mkdirSync(blobs);
    mkdirSync(snapshot, { recursive: true });
    writeFileSync(join(blobs, 'a1'), model('m.onnx_data'));
    writeFileSync(join(blobs, 'b2'), weights);
    symlinkSync('../../../blobs/a1', join(snapshot, 'm.onnx'));
    symlinkSync('../../../blobs/b2', join(snapshot, 'm.onnx_data'));
    expect(await added(join(snapshot, 'm.onnx'))).toBe(value);
    rmSync(join(snapshot, 'm.onnx_data'));
    symlinkSync('../../../secret.bin', join(snapshot, 'm.onnx_data'));
    await expect(OnnxModel.load(join(snapshot, 'm.onnx'))).rejects.toThrow(/is a link out of it/);
  });
});
