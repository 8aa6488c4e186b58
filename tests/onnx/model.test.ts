import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeNode, valueInfo } from '../../lib/onnx/graph.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { createMessage, parseModel, serializeModel } from '../../lib/onnx/protobuf.js';
import { operatorTypes, suggestions } from '../../lib/onnx/queries.js';
import { DataType, float32Tensor, int64Tensor, tensorValues } from '../../lib/onnx/tensors.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-onnx-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function smallModel(weights: number) {
  const data = Array.from({ length: weights }, (_, i) => i / 7);
  return createMessage('ModelProto', {
    irVersion: 8n,
    producerName: 'test',
    opsetImport: [createMessage('OperatorSetIdProto', { domain: '', version: 17n })],
    graph: createMessage('GraphProto', {
      name: 'g',
      node: [
        makeNode('Mul', ['x', 'w'], ['p'], { name: 'product' }),
        makeNode('QuickGelu', ['p'], ['y'], {
          domain: 'com.microsoft',
          attributes: { alpha: { float: 1.702 } },
        }),
      ],
      initializer: [float32Tensor('w', data, [weights]), int64Tensor('axes', [0, -1])],
      input: [valueInfo('x', DataType.float32, ['batch', weights])],
      output: [valueInfo('y', DataType.float32, ['batch', weights])],
    }),
  });
}

test('serialisation round trip is byte-identical and keeps unknown fields', () => {
  const bytes = serializeModel(smallModel(5));
  // Field 14 (metadata_props, a message) is not in the schema: key "a", value "b".
  const unknown = Uint8Array.from([0x72, 0x06, 0x0a, 0x01, 0x61, 0x12, 0x01, 0x62]);
  const extended = Buffer.concat([bytes, unknown]);
  expect(Buffer.from(serializeModel(parseModel(extended))).equals(extended)).toBe(true);
  const clone = OnnxModel.fromBytes(extended).clone();
  expect(Buffer.from(clone.serialize()).includes(Buffer.from(unknown))).toBe(true);
});

test('loading a file leaves large weights in place', async () => {
  const path = join(folder, 'weights.onnx');
  writeFileSync(path, serializeModel(smallModel(10_000)));
  const model = await OnnxModel.load(path);
  expect(model.serialize().length).toBeLessThan(1000);
  expect(statSync(path).size).toBeGreaterThan(40_000);
  const weight = model.graph.initializers.get('w');
  expect(weight?.dataLocation).toBe(1);
  const bytes = await model.readInitializer('w');
  expect(new Float32Array(bytes.buffer)[9_999]).toBe(Math.fround(9_999 / 7));
  expect(tensorValues(model.graph.initializers.get('axes') as never)).toEqual([0, -1]);
});

test('operator types are counted with their domain', async () => {
  const path = join(folder, 'small.onnx');
  writeFileSync(path, serializeModel(smallModel(3)));
  expect([...(await operatorTypes(path))]).toEqual([
    ['Mul', 1],
    ['com.microsoft::QuickGelu', 1],
  ]);
});

test('a file that is not a model, and missing external data, are refused by name', async () => {
  const path = join(folder, 'broken.onnx');
  writeFileSync(path, Uint8Array.from([1, 2, 3, 4, 5]));
  await expect(OnnxModel.load(path)).rejects.toMatchObject({ code: 'MODEL_FILE' });
  const missing = smallModel(3);
  const weight = missing.graph?.initializer[0];
  if (!weight) throw new Error('the model has a weight');
  weight.dataLocation = 1;
  weight.externalData = [
    createMessage('StringStringEntryProto', { key: 'location', value: 'gone.onnx_data' }),
  ];
  weight.rawData = new Uint8Array(0);
  writeFileSync(path, serializeModel(missing));
  await expect(OnnxModel.load(path)).rejects.toThrow(/gone\.onnx_data \(tensor w\) is missing/);
});

test('similar names are suggested, closest first', () => {
  expect(suggestions('/layers.0/Softmx', ['/layers.1/Softmax', '/layers.0/Softmax', 'logits'])).toEqual([
    '/layers.0/Softmax',
    '/layers.1/Softmax',
  ]);
});
