import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import { Session } from '../../lib/inference/session.js';
import { attributes } from '../../lib/onnx/attributes.js';
import { OnnxModel } from '../../lib/onnx/model.js';
import { float32Tensor, tensorValues } from '../../lib/onnx/tensors.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { pattern } from './pattern.js';

const golden = fileURLToPath(new URL('../golden/', import.meta.url));

interface Case {
  size: [number, number];
  question: string;
  generated: number[];
  cells: { image: number[]; text: number[]; masking: string; logProbabilities: number[] }[];
}

interface Layout {
  readonly inside: boolean;
  readonly positions?: boolean;
  readonly packed?: boolean;
}

type Graph = OnnxModel['graph'];

/** The tiny decoder's heads, and what the kernel wants where rotation is inside: a multiple of 16. */
const [SIZE, WIDE] = [8, 16];
/**
 * Where an element of a head goes so that the halves that are rotated together stay halves; the rest is zero.
 */
const rotated = (i: number) => (i < SIZE / 2 ? i : i + (WIDE - SIZE) / 2);
const plain = (i: number) => i;

/**
 * The decoder with GroupQueryAttention whose rotation is an operator of its own, in other layouts of the same
 * function.
 */
async function decoderIn({ inside, positions = false, packed = false }: Layout): Promise<Uint8Array> {
  const model = OnnxModel.fromBytes(await readFile(`${golden}vlm-variants/decoder_gqa.onnx`));
  const { graph } = model;
  const nodes = graph.nodes.filter(({ opType }) => opType === 'GroupQueryAttention');
  if (inside) widenTables(graph);
  for (const node of nodes) {
    if (!inside) continue;
    const [q, k] = [0, 1].map((i) => graph.producerOf(node.input[i]!)!);
    for (const [i, place] of [rotated, rotated, plain].entries()) {
      const source = i === 2 ? node.input[2]! : [q!, k!][i]!.input[0]!;
      widenColumns(graph, graph.producerOf(source)!.input, place);
      node.input[i] = source;
    }
    widenRows(graph, graph.consumersOf(node.output[0]!)[0]!.input);
    node.input.push('cos', 'sin', ...(positions ? ['position_ids'] : []));
    const kept = node.attribute.filter(({ name }) => !['do_rotary', 'scale'].includes(name));
    node.attribute = [...kept, ...attributes({ do_rotary: 1, scale: { float: SIZE ** -0.5 } })];
    if (packed) pack(graph, node.input);
  }
  const declared = graph.proto.input.filter(({ name }) => inside && name.startsWith('past_key_values'));
  for (const { type } of declared) type!.tensorType!.shape!.dim[3]!.dimValue = BigInt(WIDE);
  if (inside) for (const output of graph.proto.output) delete output.type;
  if (inside && !positions) {
    graph.proto.input = graph.proto.input.filter(({ name }) => name !== 'position_ids');
  }
  graph.touch();
  graph.prune();
  return model.serialize();
}

function replaced(graph: Graph, inputs: string[], values: number[], rows: number): void {
  inputs[1] = graph.addInitializer(
    float32Tensor(graph.uniqueName(`${inputs[1]}/wide`), values, [rows, values.length / rows]),
  );
}

/** A weight [rows, heads * 8] as [rows, heads * 16]. */
function widenColumns(graph: Graph, inputs: string[], place: (i: number) => number): void {
  const weight = graph.initializers.get(inputs[1]!)!;
  const [rows, columns] = weight.dims.map(Number) as [number, number];
  const wide = new Array<number>((rows * columns * WIDE) / SIZE).fill(0);
  for (const [at, value] of tensorValues(weight)!.entries()) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    wide[(row * columns * WIDE) / SIZE + Math.floor(column / SIZE) * WIDE + place(column % SIZE)] = value;
  }
  replaced(graph, inputs, wide, rows);
}

/** A weight [heads * 8, columns] as [heads * 16, columns]. */
function widenRows(graph: Graph, inputs: string[]): void {
  const weight = graph.initializers.get(inputs[1]!)!;
  const [rows, columns] = weight.dims.map(Number) as [number, number];
  const wide = new Array<number>((rows * columns * WIDE) / SIZE).fill(0);
  for (const [at, value] of tensorValues(weight)!.entries()) {
    const row = Math.floor(at / columns);
    wide[(Math.floor(row / SIZE) * WIDE + (row % SIZE)) * columns + (at % columns)] = value;
  }
  replaced(graph, inputs, wide, (rows * WIDE) / SIZE);
}

/** Cosines and sines [positions, 4] as [positions, 8]: what stands for the zeros is not rotated. */
function widenTables(graph: Graph): void {
  for (const [name, filler] of [
    ['cos', 1],
    ['sin', 0],
  ] as const) {
    const at = graph.proto.initializer.findIndex((item) => item.name === name);
    const table = graph.proto.initializer[at]!;
    const half = Number(table.dims[1]);
    const values = tensorValues(table)!;
    const wide = Array.from({ length: values.length * (WIDE / SIZE) }, (_, i) => {
      const [row, column] = [Math.floor(i / (WIDE / 2)), i % (WIDE / 2)];
      return column < half ? values[row * half + column]! : filler;
    });
    graph.proto.initializer[at] = float32Tensor(name, wide, [values.length / half, WIDE / 2]);
  }
  graph.touch();
}

/** Query, key and value as one product: the columns of their weights side by side. */
function pack(graph: Graph, inputs: string[]): void {
  const products = inputs.slice(0, 3).map((name) => graph.producerOf(name)!);
  const weights = products.map(({ input }) => graph.initializers.get(input[1]!)!);
  const rows = Number(weights[0]!.dims[0]);
  const values = weights.map((weight) => tensorValues(weight)!);
  const joined = Array.from({ length: rows }, (_, row) =>
    values.flatMap((value) => value.slice((row * value.length) / rows, ((row + 1) * value.length) / rows)),
  ).flat();
  replaced(graph, products[0]!.input, joined, rows);
  [inputs[0], inputs[1], inputs[2]] = [products[0]!.output[0]!, '', ''];
  graph.touch();
}

describe.each<[string, Layout]>([
  ['rotation outside', { inside: false }],
  ['rotation inside', { inside: true }],
  ['rotation inside, position_ids', { inside: true, positions: true }],
  ['rotation inside, packed', { inside: true, packed: true }],
  ['rotation inside, packed, position_ids', { inside: true, positions: true, packed: true }],
])('GroupQueryAttention, %s', (_, layout) => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fsyn-gqa-'));
    await cp(`${golden}vlm-llava`, directory, { recursive: true });
    await writeFile(join(directory, 'onnx', 'decoder_model_merged.onnx'), await decoderIn(layout));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it.each(['remove', 'attend'] as const)(
    'scores as PyTorch does, sharing prefixes and runs (%s)',
    async (textMasking) => {
      const vlm = await loadVlm(directory);
      const wanted = (JSON.parse(await readFile(`${golden}vlm-llava.json`, 'utf8')) as Case[])[0]!;
      const options = { maxNewTokens: 3, answerTokens: 'all', textMasking } as const;
      const sample = (await vlm.prepare(pattern(...wanted.size), wanted.question, options)) as DecoderSample;
      expect(Array.from(sample.answer.tokenIds)).toEqual(wanted.generated.slice(0, 3));
      const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
      const cases = wanted.cells.filter(({ masking }) => masking === textMasking);
      for (const { image, text } of cases) table.cell(table.imageState(image), table.textState(text));
      const { logProbabilities, plan } = await sample.evaluate(table);
      const plain = await sample.evaluatePlainly(table);
      for (const [i, { logProbabilities: row }] of cases.entries()) {
        for (let k = 0; k < 3; k++) {
          expect(Math.abs(logProbabilities[i * 3 + k]! - row[k]!)).toBeLessThan(1e-5);
          expect(Math.abs(plain.logProbabilities[i * 3 + k]! - row[k]!)).toBeLessThan(1e-5);
        }
      }
      expect(plan.fallbacks).toEqual([]);
      expect(plan.prefixes).toBe(plan.imageStates);
      // Explainers read the file, which has no input that our edit adds.
      const feeds = Object.keys(sample.whiteBox.decoderFeeds(4));
      expect(feeds.includes('position_ids')).toBe(!layout.inside || layout.positions === true);
      vlm.dispose();
    },
  );
});

it('leaves removed tokens out, one sequence per run, of a decoder that overlooks holes and is run as it is', async () => {
  const vlm = await loadVlm(`${golden}vlm-llava`);
  const wanted = (JSON.parse(await readFile(`${golden}vlm-llava.json`, 'utf8')) as Case[])[0]!;
  const options = { maxNewTokens: 3, answerTokens: 'all' } as const;
  const sample = (await vlm.prepare(pattern(...wanted.size), wanted.question, options)) as DecoderSample;
  const decoder = await Session.load(`${golden}vlm-variants/decoder_gqa.onnx`);
  const { rows: _, ...wiring } = sample.program().wiring;
  const evaluator = await CoalitionEvaluator.create({ ...sample.program(), wiring, decoder, leaveOut: true });
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const cases = wanted.cells.filter(({ masking }) => masking === 'remove');
  for (const { image, text } of cases) table.cell(table.imageState(image), table.textState(text));
  const { logProbabilities, plan } = await evaluator.evaluate(table);
  expect(plan.fallbacks.map(({ code }) => code)).toEqual(['tokens-left-out']);
  for (const [i, { logProbabilities: row }] of cases.entries()) {
    for (let k = 0; k < 3; k++) expect(Math.abs(logProbabilities[i * 3 + k]! - row[k]!)).toBeLessThan(1e-5);
  }
  decoder.dispose();
  vlm.dispose();
});
