/**
 * What gradients cost: `npm run bench:gradients -- [--model DIR] [--rounds N] [--threads N] [--json]`.
 *
 * First a decoder-like graph made on the spot (6 layers of width 256, 320 tokens, 16384 words): time of forward plus
 * backward for one logit, in modes grad and attnlrp and with all attention maps, over the time of the plain forward pass,
 * interleaved in one process. Then, on a model directory, every white-box explainer over one full pass of the model.
 */
import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { explainers } from '../../lib/explainers/registry.js';
import { WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { Session, type TensorValue } from '../../lib/inference/session.js';
import { makeNode, type NodeOptions, valueInfo } from '../../lib/onnx/graph.js';
import { DifferentiableModel, OnnxModel, selectLogits } from '../../lib/onnx/index.js';
import { createMessage, type NodeProto, serializeModel, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType, int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import { packageInfo } from '../../lib/package.js';
import { loadVlm } from '../../lib/vlm/load.js';

const [LAYERS, WIDTH, HEADS, HIDDEN, LENGTH, VOCABULARY] = [6, 256, 8, 688, 320, 16384];

const median = (values: readonly number[]) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** Processor time of this process: with one thread it is the time that the work takes when nothing else runs. */
async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** A decoder of the LLaMA kind without rotary embedding. */
class SyntheticDecoder {
  readonly nodes: NodeProto[] = [];
  readonly constants: TensorProto[] = [];
  #count = 0;

  build(): Uint8Array {
    this.#shape('split', [0, 0, HEADS, WIDTH / HEADS]);
    this.#shape('join', [0, 0, WIDTH]);
    const mask = new Float32Array(LENGTH * LENGTH).map((_, i) =>
      i % LENGTH > Math.floor(i / LENGTH) ? -1e9 : 0,
    );
    this.constants.push(tensor('mask', DataType.float32, [LENGTH, LENGTH], mask));
    let x = 'inputs_embeds';
    for (let layer = 0; layer < LAYERS; layer++) x = this.#mlp(this.#attention(x));
    this.#op('MatMul', [this.#norm(x), this.#weight(WIDTH, VOCABULARY)], {}, 'logits');
    const shape = ['batch_size', LENGTH];
    return serializeModel(
      createMessage('ModelProto', {
        irVersion: 8n,
        opsetImport: [createMessage('OperatorSetIdProto', { domain: '', version: 17n })],
        graph: createMessage('GraphProto', {
          name: 'decoder',
          node: this.nodes,
          initializer: this.constants,
          input: [valueInfo('inputs_embeds', DataType.float32, [...shape, WIDTH])],
          output: [valueInfo('logits', DataType.float32, [...shape, VOCABULARY])],
        }),
      }),
    );
  }

  #op(
    type: string,
    input: string[],
    attributes: NodeOptions['attributes'] = {},
    name = `t${this.#count++}`,
  ): string {
    this.nodes.push(makeNode(type, input, [name], { attributes }));
    return name;
  }

  #shape(name: string, values: number[]): void {
    this.constants.push(int64Tensor(name, values));
  }

  #weight(rows: number, columns: number): string {
    const name = `w${this.#count++}`;
    const scale = 1 / Math.sqrt(rows);
    const values = new Float32Array(rows * columns).map(
      (_, i) => scale * Math.sin(i * 12.9898 + this.#count),
    );
    this.constants.push(tensor(name, DataType.float32, [rows, columns], values));
    return name;
  }

  #norm(x: string): string {
    const gain = `g${this.#count++}`;
    this.constants.push(tensor(gain, DataType.float32, [WIDTH], new Float32Array(WIDTH).fill(1)));
    return this.#op('SimplifiedLayerNormalization', [x, gain], {
      axis: -1,
      epsilon: { float: 1e-5 },
      stash_type: 1,
    });
  }

  #attention(x: string): string {
    const n = this.#norm(x);
    const head = (perm: number[]) => {
      const projected = this.#op('MatMul', [n, this.#weight(WIDTH, WIDTH)]);
      return this.#op('Transpose', [this.#op('Reshape', [projected, 'split'])], { perm });
    };
    const scores = this.#op('MatMul', [head([0, 2, 1, 3]), head([0, 2, 3, 1])]);
    const attention = this.#op('Softmax', [this.#op('Add', [scores, 'mask'])], { axis: -1 });
    const mixed = this.#op('MatMul', [attention, head([0, 2, 1, 3])]);
    const joined = this.#op('Reshape', [this.#op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), 'join']);
    return this.#op('Add', [x, this.#op('MatMul', [joined, this.#weight(WIDTH, WIDTH)])]);
  }

  #mlp(x: string): string {
    const n = this.#norm(x);
    const gate = this.#op('MatMul', [n, this.#weight(WIDTH, HIDDEN)]);
    const silu = this.#op('Mul', [gate, this.#op('Sigmoid', [gate])]);
    const product = this.#op('Mul', [silu, this.#op('MatMul', [n, this.#weight(WIDTH, HIDDEN)])]);
    return this.#op('Add', [x, this.#op('MatMul', [product, this.#weight(HIDDEN, WIDTH)])]);
  }
}

/** Median times of several works, interleaved; the first round warms up. */
async function interleaved(works: Readonly<Record<string, () => Promise<unknown>>>, rounds: number) {
  const times = new Map<string, number[]>(Object.keys(works).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, work] of Object.entries(works)) {
      const time = await milliseconds(work);
      if (round > 0) times.get(name)!.push(time);
    }
  }
  return Object.fromEntries([...times].map(([name, list]) => [name, median(list)]));
}

async function synthetic(rounds: number, threads: number) {
  const bytes = new SyntheticDecoder().build();
  const forward = await Session.load(bytes, { threads });
  const load = (options: object) =>
    DifferentiableModel.load(OnnxModel.fromBytes(bytes), { wrt: ['inputs_embeds'], threads, ...options });
  const models = {
    gradient: await load({}),
    attnlrp: await load({ mode: 'attnlrp' }),
    'gradient and attentions': await load({ attentions: true }),
  };
  // What a forward pass costs when it, too, computes no more than the one logit.
  const single = OnnxModel.fromBytes(bytes);
  selectLogits(single, { rows: 'rows', columns: 'columns' });
  const selected = await Session.load(single.serialize(), { threads });
  const index = (value: number) => ndarray(BigInt64Array.of(BigInt(value)), [1]) as unknown as TensorValue;
  const values = new Float32Array(LENGTH * WIDTH).map((_, i) => Math.sin(i));
  const feeds = { inputs_embeds: ndarray(values, [1, LENGTH, WIDTH]) as TensorValue };
  const target = { position: LENGTH - 1, token: 7 };
  const works: Record<string, () => Promise<unknown>> = {
    forward: () => forward.run(feeds, { outputs: ['logits'], keep: ['logits'] }),
  };
  works['forward, one logit'] = () => selected.run({ ...feeds, rows: index(LENGTH - 1), columns: index(7) });
  for (const [name, model] of Object.entries(models)) works[name] = () => model.run(feeds, target);
  const times = await interleaved(works, rounds);
  for (const model of Object.values(models)) model.dispose();
  forward.dispose();
  selected.dispose();
  return times;
}

async function explained(directory: string, rounds: number) {
  const vlm = await loadVlm(directory);
  const size = 336;
  const image = ndarray(
    new Uint8Array(size * size * 3).map((_, i) => (i * 7) % 251),
    [size, size, 3],
  );
  // The answer is given: random weights may say a token that the tokenizer lacks.
  const sample = await vlm.prepare(image, 'Is there a red circle?', { answer: 'yes' });
  const chain = WhiteBoxChain.of(sample, 'benchmark');
  // One full pass: vision tower, embedding, decoder with all logits, as loaded from the directory.
  const { whiteBox, length } = chain;
  const vision = await Session.load(whiteBox.visionModel);
  const decoder = await Session.load(whiteBox.decoderModel);
  const pass = async () => {
    const features = await vision.run(chain.visionFeeds(), { outputs: [whiteBox.featureOutput] });
    const values = (features[whiteBox.featureOutput] as { data: Float32Array }).data;
    await decoder.run(chain.decoderFeeds(await chain.merged(values)), {
      outputs: ['logits'],
      keep: ['logits'],
    });
  };
  const works: Record<string, () => Promise<unknown>> = { 'full pass': pass };
  for (const explainer of explainers.filter((item) => !item.needsTruth && !item.byNameOnly)) {
    works[explainer.name] = () =>
      explainer.attribute({ sample, seed: 1, evaluate: (cells, options) => sample.evaluate(cells, options) });
  }
  const alone = integratedGradients({ batch: 1 });
  works['integrated-gradients, one step per run'] = () =>
    alone.attribute({ sample, seed: 1, evaluate: (cells, options) => sample.evaluate(cells, options) });
  const joint = integratedGradients({ path: 'joint' });
  works['integrated-gradients, joint path'] = () =>
    joint.attribute({ sample, seed: 1, evaluate: (cells, options) => sample.evaluate(cells, options) });
  const times = await interleaved(works, rounds);
  vlm.dispose();
  return { length, times };
}

function table(title: string, times: Readonly<Record<string, number>>): void {
  const [first] = Object.values(times) as [number];
  console.log(title);
  for (const [name, time] of Object.entries(times)) {
    console.log(
      `  ${name.padEnd(40)} ${time.toFixed(1).padStart(9)} ms  ${(time / first).toFixed(2).padStart(7)} x`,
    );
  }
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(packageInfo().root, 'bench/models/llava-tiny/model') },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
});
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${values.threads} thread`;
const decoder = await synthetic(Number(values.rounds), Number(values.threads));
const model = existsSync(values.model) ? await explained(values.model, Number(values.rounds)) : undefined;
if (values.json) console.log(JSON.stringify({ machine, decoder, model: model?.times }));
else {
  console.log(machine);
  table(`decoder of ${LAYERS} layers, width ${WIDTH}, ${LENGTH} tokens, ${VOCABULARY} words`, decoder);
  if (model) table(`${basename(join(values.model, '..'))}, ${model.length} tokens`, model.times);
  else console.log(`no model directory at ${values.model}`);
}
process.exit(0);
