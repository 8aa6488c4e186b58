import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { openCvBench } from '../../lib/datasets/cv-bench.js';
import { openJsonl } from '../../lib/datasets/jsonl.js';
import { openMmstar } from '../../lib/datasets/mmstar.js';
import { openRepope } from '../../lib/datasets/repope.js';
import type { Dataset } from '../../lib/datasets/types.js';
import { importAttribution, readAttribution } from '../../lib/explainers/imported.js';
import { parseNpy } from '../../lib/explainers/npy.js';
import { DifferentiableModel, OnnxModel, transformerBlocks } from '../../lib/onnx/index.js';
import { type NodeProto, parseModel, serializeModel } from '../../lib/onnx/protobuf.js';
import { readManifest } from '../../lib/vlm/classifier/manifest.js';
import { encodeQuestion } from '../../lib/vlm/classifier/question.js';
import { findFamily } from '../../lib/vlm/decoder/families.js';
import { editDecoder } from '../../lib/vlm/decoder/file.js';
import { rowsInput } from '../../lib/vlm/decoder/graph.js';
import { matrixCosts } from '../../lib/vlm/files/costs.js';
import { openModelDirectory } from '../../lib/vlm/files/directory.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import type { JsonObject } from '../../lib/vlm/json.js';
import { ChatTemplate } from '../../lib/vlm/text/chat.js';
import { TextTokenizer } from '../../lib/vlm/text/tokenizer.js';
import type { PreparedSample } from '../../lib/vlm/types.js';
import { Draws, mutateBytes, mutateJson } from './mutations.js';

/** One kind of file that strangers give, and everything that is done with it. */
export interface InputKind {
  readonly name: string;
  /**
   * Uses input `number`, which is always the same.
   *
   * @returns whether it was taken; refusals are thrown
   */
  use(number: number): Promise<void>;
}

/**
 * The kinds of input.
 *
 * @param root the project's folder, whose test data is mutated
 * @param scratch an empty folder for files that are read by path
 */
export function inputKinds(root: string, scratch: string): InputKind[] {
  mkdirSync(scratch, { recursive: true });
  return [
    npyKind(),
    jsonLinesKind(scratch),
    jsonKind(root, scratch),
    parquetKind(root, scratch),
    imageKind(root),
    onnxKind(root),
  ];
}

function npyKind(): InputKind {
  const array = (descr: string, shape: string, bytes: number) => {
    const text = `{'descr': '${descr}', 'fortran_order': ${bytes % 3 === 0 ? 'True' : 'False'}, 'shape': ${shape}, }`;
    const header = Buffer.from(`${text.padEnd(117)}\n`, 'latin1');
    const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length, 0]);
    return Buffer.concat([start, header, Buffer.alloc(bytes, 0x3c)]);
  };
  const seeds = [
    array('<f4', '(2, 3)', 24),
    array('<f2', '(6,)', 12),
    array('>f8', '(1, 2, 3)', 48),
    array('|b1', '(6,)', 6),
    array('<i8', '()', 8),
  ];
  const players = { imagePlayers: { count: 6, rows: 2, columns: 3, tiles: 1 }, textPlayers: { count: 6 } };
  return {
    name: '.npy',
    async use(number) {
      const draws = new Draws(number);
      const { values } = parseNpy(mutateBytes(draws.of(seeds), draws), 'x.npy');
      const scores = Array.from(values);
      importAttribution(players as unknown as PreparedSample, { image: scores, text: scores });
    },
  };
}

function jsonLinesKind(scratch: string): InputKind {
  const truth = { boxes: [[0, 0, 4, 4]], words: [[0, 2]] };
  const rows = [
    { image: 'a.png', question: 'Is there a red circle?', answer: 'yes', truth },
    {
      id: 'b',
      image: 'sub/b.png',
      question: 'Which? (A) ö (B) 日',
      answer: 'B',
      choices: ['A', 'B'],
      family: 'f',
    },
    { image: 'c.png', question: 'Why?', answer: 'no', grounding: 'grounded', instruction: '\nOne word.' },
  ];
  const annotations = { image: 'a.jpg', text: 'Is there a dog?', label: 'yes' };
  const repope = join(scratch, 'repope');
  mkdirSync(join(repope, 'annotations'), { recursive: true });
  mkdirSync(join(repope, 'val2014'), { recursive: true });
  writeFileSync(join(repope, 'val2014', 'a.jpg'), '');
  return {
    name: 'JSON Lines',
    async use(number) {
      const draws = new Draws(number);
      const published = draws.below(4) === 0;
      const mutated = (published ? [annotations, annotations] : rows).map((row) =>
        draws.below(3) > 0 ? mutateJson(row, draws) : row,
      );
      const text = Buffer.from(mutated.map((row) => JSON.stringify(row)).join('\n'));
      const bytes = draws.below(2) === 0 ? mutateBytes(text, draws) : text;
      const path = published
        ? join(repope, 'annotations', 'coco_repope_random.json')
        : join(scratch, 'x.jsonl');
      writeFileSync(path, bytes);
      const options = { subset: 'random', limit: 3, seed: 0 };
      await walk(published ? await openRepope(repope, options) : await openJsonl(path));
    },
  };
}

async function walk(dataset: Dataset): Promise<void> {
  for await (const sample of dataset.samples()) if (sample.id === '') throw new Error('an empty id');
}

function jsonKind(root: string, scratch: string): InputKind {
  const read = (path: string): JsonObject => JSON.parse(readFileSync(join(root, path), 'utf8'));
  const models = ['llava', 'qwen', 'internvl', 'idefics3'].map((name) => `tests/golden/vlm-${name}`);
  const files = [
    'config.json',
    'preprocessor_config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'generation_config.json',
  ];
  const seeds = models.map((model) => {
    const names = readdirSync(join(root, model));
    return files
      .filter((file) => names.includes(file))
      .map((file) => [file, read(join(model, file))] as const);
  });
  const manifest = {
    format: 'fsyn-classifier-1',
    model: 'm.onnx',
    image: { input: 'i', layout: 'NCHW', height: 8, width: 8, rows: 2, columns: 2, mean: [0, 0, 0] },
    question: {
      input: 'q',
      encoding: 'token-ids',
      vocabulary: { is: 1, red: 2 },
      padId: 0,
      unknown: 3,
      pattern: '\\w+',
    },
    output: { logits: 'l', answers: ['yes', 'no'] },
  };
  const attribution = {
    image: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    text: [1, 2],
  };
  const sample = { imagePlayers: { count: 6, rows: 2, columns: 3, tiles: 1 }, textPlayers: { count: 2 } };
  const image = ndarray(new Uint8Array(24 * 32 * 3).fill(7), [24, 32, 3]);
  const useDirectory = async (draws: Draws): Promise<void> => {
    const chosen = draws.of(seeds);
    const changed = draws.of(chosen)[0];
    for (const [file, seed] of chosen) {
      const text = JSON.stringify(file === changed ? mutateJson(seed, draws) : seed);
      writeFileSync(
        join(scratch, file),
        draws.below(40) === 0 ? mutateBytes(Buffer.from(text), draws) : text,
      );
    }
    const directory = await openModelDirectory(scratch);
    if (directory.chatTemplate !== undefined)
      new ChatTemplate(directory.chatTemplate, {}).render('Why?', undefined);
    const family = findFamily(directory, []);
    const options = { maxPixels: undefined, maxTiles: 4 };
    await family(directory, '<image>', ['pixel_values', 'image_grid_thw'], options).encode(image);
    const tokenizer = new TextTokenizer(directory.tokenizer, directory.tokenizerConfig);
    tokenizer.pieces(tokenizer.encode('Is there a röd circle?\n日', true).ids);
  };
  return {
    name: 'JSON',
    async use(number) {
      const draws = new Draws(number);
      const kind = draws.below(4);
      if (kind >= 2) return useDirectory(draws);
      const path = join(scratch, 'x.json');
      writeFileSync(path, JSON.stringify(mutateJson(kind === 0 ? manifest : attribution, draws)));
      if (kind === 1) return void (await readAttribution(sample as unknown as PreparedSample, path));
      const { question } = await readManifest(path);
      if (question.tokenizer === undefined) encodeQuestion('Is it red?', '', false, question, undefined);
    },
  };
}

function parquetKind(root: string, scratch: string): InputKind {
  const folder = join(root, 'tests/fixtures/datasets');
  const find = (name: string) =>
    readdirSync(join(folder, name))
      .filter((file) => file.endsWith('.parquet'))
      .map((file) => ({ name, bytes: readFileSync(join(folder, name, file)) }));
  const seeds = [...find('mmstar'), ...find('cv-bench')];
  return {
    name: 'Parquet',
    async use(number) {
      const draws = new Draws(number);
      const seed = draws.of(seeds);
      // Half of them in the last bytes, where the schema and the places of all columns are.
      const tail = Math.min(seed.bytes.length, 1500);
      const bytes =
        draws.below(2) === 0
          ? mutateBytes(seed.bytes, draws)
          : Buffer.concat([seed.bytes.subarray(0, -tail), mutateBytes(seed.bytes.subarray(-tail), draws)]);
      const path = join(scratch, 'x.parquet');
      writeFileSync(path, bytes);
      const open = seed.name === 'mmstar' ? openMmstar : openCvBench;
      const dataset = await open(path, { subset: undefined, limit: 2, seed: 0 });
      for await (const sample of dataset.samples()) await sample.image();
    },
  };
}

function imageKind(root: string): InputKind {
  const seeds = ['tests/golden/vlm-images', 'tests/golden/vlm-formats'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => !file.endsWith('.json'))
      .map((file) => readFileSync(join(root, folder, file))),
  );
  return {
    name: 'images',
    async use(number) {
      const draws = new Draws(number);
      const seed = draws.of(seeds);
      // Headers decide most; half of the changes are there.
      const head = draws.below(2) === 0 ? seed.length : Math.min(seed.length, 64);
      const bytes = Buffer.concat([mutateBytes(seed.subarray(0, head), draws), seed.subarray(head)]);
      await decodeImage(bytes, { limitInputPixels: 2 ** 24 });
    },
  };
}

const extremes = [
  0n,
  1n,
  -1n,
  2n,
  255n,
  65536n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n,
  2n ** 62n,
  2n ** 63n - 1n,
];

function onnxKind(root: string): InputKind {
  const seeds = ['vlm-llava', 'vlm-qwen', 'vlm-internvl'].flatMap((model) =>
    ['decoder_model_merged', 'vision_encoder'].map((part) => ({
      decoder: part === 'decoder_model_merged',
      bytes: readFileSync(join(root, 'tests/golden', model, 'onnx', `${part}.onnx`)),
    })),
  );
  return {
    name: 'ONNX',
    async use(number) {
      const draws = new Draws(number);
      const { bytes, decoder } = draws.of(seeds);
      const model = OnnxModel.fromBytes(
        draws.below(3) === 0 ? mutateBytes(bytes, draws) : mutateGraph(bytes, draws),
      );
      model.serialize();
      matrixCosts(model.graph, 'logits', rowsInput);
      transformerBlocks(model.graph);
      if (decoder && draws.below(4) === 0) await editDecoder(model);
      if (draws.below(20) === 0) (await DifferentiableModel.load(model, {})).dispose();
    },
  };
}

/** A graph with some of its parts wrong: attributes, shapes, types, wires, nodes. */
function mutateGraph(seed: Uint8Array, draws: Draws): Uint8Array {
  const model = parseModel(Uint8Array.from(seed));
  const graph = model.graph!;
  const times = 1 + draws.below(draws.of([2, 8]));
  for (let i = 0; i < times && graph.node.length > 0; i++) {
    const node = draws.of(graph.node);
    const other = draws.of(graph.node);
    const tensor = draws.of(graph.initializer);
    const attribute = node.attribute.length === 0 ? undefined : draws.of(node.attribute);
    const value = draws.of([...graph.input, ...graph.output]);
    const dims = value.type?.tensorType?.shape?.dim ?? [];
    const changes: (() => void)[] = [
      () => attribute && Object.assign(attribute, { i: draws.of(extremes), ints: [draws.of(extremes)] }),
      () =>
        attribute && Object.assign(attribute, { f: draws.of([Number.NaN, 1e38, -1]), type: draws.below(14) }),
      () => attribute && Object.assign(attribute, { t: tensor }),
      () => void node.attribute.pop(),
      () => void tensor.dims.push(draws.of(extremes)),
      () => void tensor.dims.splice(0, 1, draws.of(extremes)),
      () => Object.assign(tensor, { dataType: draws.below(24) }),
      () => Object.assign(tensor, { rawData: new Uint8Array(draws.below(40)) }),
      () => void node.input.splice(draws.below(node.input.length + 1), 1, other.output[0] ?? ''),
      () => void node.output.splice(0, 1, draws.of([other.output[0] ?? '', 'new', node.input[0] ?? ''])),
      () => Object.assign(node, { opType: draws.of([other.opType, 'Identity', 'MatMul', 'Loop']) }),
      () => void node.input.splice(draws.below(node.input.length + 1)),
      () => void graph.node.splice(graph.node.indexOf(other as NodeProto), 1),
      () => dims.length > 0 && Object.assign(draws.of(dims), { dimValue: draws.of(extremes) }),
      () => Object.assign(value, { type: undefined }),
      () =>
        Object.assign(draws.of(model.opsetImport), { version: draws.of([0n, 1n, 12n, 99n, -1n, 2n ** 40n]) }),
    ];
    draws.of(changes)();
  }
  return serializeModel(model);
}
