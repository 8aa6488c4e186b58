import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TensorInfo, TensorValue } from '../../lib/inference/session.js';
import { selectRowsEarly } from '../../lib/onnx/early-rows.js';
import { selectLogits } from '../../lib/onnx/head.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import type { NodeProto } from '../../lib/onnx/protobuf.js';
import { DataType, float32Tensor, int64Tensor } from '../../lib/onnx/tensors.js';
import { type Feeds, openSession } from '../../lib/onnx/types.js';
import { matrixCosts } from '../../lib/vlm/files/costs.js';
import { int64, node, randomStream, randomTensor, relativeError, sketch, valuesOf } from './helpers.js';

const rows = 'wanted';
const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** A decoder with the gather in front of its head, and the same with the gather as early as it can be. */
async function both(file: string): Promise<{ late: OnnxModel; early: OnnxModel; moved: boolean }> {
  const late = (await OnnxModel.load(path(file))).clone();
  selectLogits(late, { rows });
  const early = late.clone();
  const moved = await selectRowsEarly(early, rows);
  return { late, early, moved };
}

/** A batch of two sequences with holes in their masks on a random cache of `past` tokens. */
function randomFeeds(inputs: readonly TensorInfo[], seed: number, length: number, past: number): Feeds {
  const next = randomStream(seed);
  const batch = 2;
  const feeds: Record<string, TensorValue> = {};
  const hasCache = inputs.some(({ name }) => name.startsWith('past_key_values'));
  const total = length + (hasCache ? past : 0);
  for (const { name, shape } of inputs) {
    if (name === rows) continue;
    if (name === 'attention_mask') {
      const mask = Array.from({ length: batch * total }, (_, i) => (i % total > 0 && next() < -0.5 ? 0 : 1));
      // The last tokens are attended, as scored ones are.
      feeds[name] = int64(
        mask.map((value, i) => (i % total >= total - 2 ? 1 : value)),
        [batch, total],
      );
    } else if (name === 'position_ids') {
      const positions = Array.from({ length }, (_, i) => past + i);
      const axes = shape.length === 3 ? 3 : 1;
      const all = Array.from({ length: axes * batch }, () => positions).flat();
      feeds[name] = int64(all, shape.length === 3 ? [3, batch, length] : [batch, length]);
    } else if (name === 'inputs_embeds') feeds[name] = randomTensor([batch, length, Number(shape[2])], next);
    else {
      const extents = shape.map((extent, axis) => (axis === 0 ? batch : axis === 2 ? past : Number(extent)));
      feeds[name] = randomTensor(extents, next);
    }
  }
  return feeds;
}

const decoders = [
  ...readdirSync(path('bench/models'))
    .filter((name) => name.endsWith('-tiny'))
    .map((name) => `bench/models/${name}/model/onnx/decoder_model_merged.onnx`),
  ...['llava', 'qwen', 'internvl', 'idefics3'].map(
    (name) => `tests/golden/vlm-${name}/onnx/decoder_model_merged.onnx`,
  ),
];

describe.each(decoders)('%s', (file) => {
  test('gives the same logits and the same bytes of caches', async () => {
    const { late, early, moved } = await both(file);
    expect(moved).toBe(true);
    const [plain, narrow] = [await openSession(late), await openSession(early)];
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(),
          length: fc.integer({ min: 3, max: 20 }),
          past: fc.integer({ min: 0, max: 30 }),
        }),
        fc.uniqueArray(fc.integer({ min: -3, max: -1 }), { minLength: 1 }),
        async ({ seed, length, past }, wanted) => {
          const feeds = { ...randomFeeds(plain.inputs, seed, length, past), [rows]: int64(wanted) };
          const [expected, given] = [await plain.run(feeds), await narrow.run(feeds)];
          for (const { name } of plain.outputs) {
            const [a, b] = [given[name], expected[name]];
            expect(a.shape).toEqual(b.shape);
            if (name === 'logits')
              expect(relativeError(valuesOf(a as never), valuesOf(b as never))).toBeLessThan(1e-5);
            else expect('data' in a && a.data).toEqual('data' in b && b.data);
          }
        },
      ),
      { numRuns: 8, seed: 71 },
    );
    plain.dispose();
    narrow.dispose();
  });

  test('takes one layer off the way of the other rows, all but its keys and values', async () => {
    const { late, early } = await both(file);
    const [before, after] = [late, early].map(({ graph }) => matrixCosts(graph, 'logits', rows));
    expect(before).toMatchObject({ wantedRows: 0, wantedRowLayers: 0 });
    expect(after).toEqual({ ...before!, wantedRows: after!.wantedRows, wantedRowLayers: 1 });
    // The products that are left of the layer make what the cache takes.
    const last = late.graph.outputNames.filter((name) => name.startsWith('present')).length / 2;
    const layer = before!.weights / last;
    const cache = late.graph.proto.input.find(({ name }) => name === 'past_key_values.0.key')!;
    const [, heads, , size] = cache.type!.tensorType!.shape!.dim.map((dim) => Number(dim.dimValue ?? 0));
    expect(after!.wantedRows).toBe(layer - 2 * before!.width * heads! * size!);
  });
});

/**
 * A graph of x [batch, tokens, 8] whose output y is gathered by rows behind these nodes, which end in `h`.
 */
function gathered(nodes: readonly NodeProto[], outputs: readonly string[] = [], constants = {}): OnnxModel {
  const next = randomStream(5);
  const weight = (name: string) => float32Tensor(name, Array.from({ length: 64 }, next), [8, 8]);
  return sketch({
    nodes: [...nodes, node('Gather', ['h', rows], ['g'], { axis: 1 }), node('MatMul', ['g', 'head'], ['y'])],
    inputs: [
      ['x', DataType.float32, ['batch', 'tokens', 8]],
      [rows, DataType.int64, ['wanted']],
    ],
    outputs: ['y', ...outputs],
    constants: [
      ...['w', 'v', 'head'].map(weight),
      ...Object.entries(constants as Record<string, readonly number[]>).map(([name, values]) =>
        int64Tensor(name, values),
      ),
    ],
  });
}

/** Moves the gather and compares all outputs; returns what is gathered then. */
async function movedTo(model: OnnxModel): Promise<string[]> {
  const early = model.clone();
  await selectRowsEarly(early, rows);
  const [plain, narrow] = [await openSession(model), await openSession(early)];
  const next = randomStream(9);
  for (const wanted of [[-1], [-2, -1], [-4, -3, -1]]) {
    const feeds = { x: randomTensor([3, 5, 8], next), [rows]: int64(wanted) };
    const [expected, given] = [await plain.run(feeds), await narrow.run(feeds)];
    for (const { name } of plain.outputs) {
      expect(given[name].shape).toEqual(expected[name].shape);
      expect(relativeError(valuesOf(given[name] as never), valuesOf(expected[name] as never))).toBeLessThan(
        1e-6,
      );
    }
  }
  for (const session of [plain, narrow]) session.dispose();
  return early.graph.nodes
    .filter((item) => item.opType === 'Gather' && item.input[1] === rows)
    .map((item) => item.input[0])
    .sort();
}

describe('the gather stops', () => {
  test('at the inputs when nothing is in its way', async () => {
    const nodes = [
      node('MatMul', ['x', 'w'], ['a']),
      node('Relu', ['a'], ['r']),
      node('Add', ['r', 'x'], ['h']),
    ];
    expect(await movedTo(gathered(nodes))).toEqual(['x']);
  });

  test('behind what another output needs in full', async () => {
    const nodes = [
      node('MatMul', ['x', 'w'], ['a']),
      node('Relu', ['a'], ['r']),
      node('MatMul', ['r', 'v'], ['h']),
    ];
    expect(await movedTo(gathered(nodes, ['r']))).toEqual(['r']);
    expect(await movedTo(gathered(nodes, ['a']))).toEqual(['a']);
  });

  test('behind operators that mix rows', async () => {
    const sum = [node('CumSum', ['x', 'axis'], ['c']), node('Relu', ['c'], ['h'])];
    expect(await movedTo(gathered(sum, [], { axis: [1] }))).toEqual(['c']);
    const softmax = [node('Softmax', ['x'], ['s'], { axis: 1 }), node('Relu', ['s'], ['h'])];
    expect(await movedTo(gathered(softmax))).toEqual(['s']);
    const mean = [
      node('ReduceMean', ['x'], ['m'], { axes: [1], keepdims: 1 }),
      node('Sub', ['x', 'm'], ['h']),
    ];
    // One mean for all rows: it needs every row, so that the subtraction is as far as it goes.
    expect(await movedTo(gathered(mean))).toEqual(['x']);
    const concat = [
      node('Slice', ['x', 'zero', 'one', 'axis'], ['first']),
      node('Slice', ['x', 'one', 'end', 'axis'], ['others']),
      node('Concat', ['others', 'first'], ['turned'], { axis: 1 }),
      node('Relu', ['turned'], ['h']),
    ];
    expect(await movedTo(gathered(concat, [], { zero: [0], one: [1], end: [99], axis: [1] }))).toEqual([
      'turned',
    ]);
  });

  test('behind a reshape that regroups rows, and not behind one that regroups channels', async () => {
    const nodes = () => [
      node('Reshape', ['x', 'inner'], ['i']),
      node('Relu', ['i'], ['r']),
      node('Reshape', ['r', 'outer'], ['h']),
    ];
    const flat = { inner: [-1, 8], outer: [-1, 5, 8] };
    expect(await movedTo(gathered(nodes(), [], flat))).toEqual(['h']);
    const heads = { inner: [0, -1, 2, 4], outer: [0, 0, 8] };
    expect(await movedTo(gathered(nodes(), [], heads))).toEqual(['x']);
  });

  test('at queries where keys and values of the same rows are attended', async () => {
    const attention = [
      node('MatMul', ['x', 'w'], ['q']),
      node('MatMul', ['x', 'v'], ['k']),
      node('Transpose', ['k'], ['t'], { perm: [0, 2, 1] }),
      node('MatMul', ['q', 't'], ['scores']),
      node('Softmax', ['scores'], ['p'], { axis: -1 }),
      node('MatMul', ['p', 'k'], ['h']),
    ];
    expect(await movedTo(gathered(attention))).toEqual(['x']);
    // Two layers: the first is needed in full by keys and values of the second.
    const rename = (name: string) => (['x', 'w', 'v'].includes(name) ? name : `0${name}`);
    const first = attention.map(({ opType, input, output, attribute }) => ({
      ...node(opType, input.map(rename), output.map(rename)),
      attribute,
    }));
    const second = attention.map((item) => ({
      ...item,
      input: item.input.map((name) => (name === 'x' ? '0h' : name)),
    }));
    expect(await movedTo(gathered([...first, ...second]))).toEqual(['0h']);
  });

  test('nowhere else when extents of narrowed tensors are read', async () => {
    // The channels are halved by an extent that is read from the tensor itself, as exports of rotary
    // embeddings do.
    const nodes = [
      node('MatMul', ['x', 'w'], ['q']),
      node('Shape', ['q'], ['extents']),
      node('Gather', ['extents', 'last'], ['width']),
      node('Div', ['width', 'two'], ['half']),
      node('Slice', ['q', 'zero', 'half', 'last'], ['left']),
      node('Slice', ['q', 'half', 'width', 'last'], ['right']),
      node('Concat', ['right', 'left'], ['h'], { axis: -1 }),
    ];
    const model = gathered(nodes, [], { last: [2], two: [2], zero: [0] });
    const early = model.clone();
    await selectRowsEarly(early, rows);
    expect(await movedTo(model)).toEqual(['x']);
    expect(early.graph.nodes.filter(({ opType }) => opType === 'MatMul')).toHaveLength(2);
    // An extent of the rows themselves is that of all of them.
    const counted = [
      node('MatMul', ['x', 'w'], ['q']),
      node('Shape', ['q'], ['extents']),
      node('Gather', ['extents', 'one'], ['count']),
      node('Cast', ['count'], ['scale'], { to: 1 }),
      node('Div', ['q', 'scale'], ['h']),
    ];
    expect(await movedTo(gathered(counted, [], { one: [1] }))).toEqual(['x']);
  });
});

test('a graph without such a gather, or of an old operator set, is left as it is', async () => {
  const plain = sketch({
    nodes: [node('Relu', ['x'], ['y'])],
    inputs: [['x', DataType.float32, ['batch', 'tokens', 8]]],
  });
  expect(await selectRowsEarly(plain, rows)).toBe(false);
  const old = gathered([node('Relu', ['x'], ['h'])]);
  for (const entry of old.proto.opsetImport) if (entry.domain === '') entry.version = 12n;
  const nodes = old.graph.nodes.length;
  expect(await selectRowsEarly(old, rows)).toBe(false);
  expect(old.graph.nodes).toHaveLength(nodes);
});
