/**
 * What gradients cost: `npm run bench:gradients -- [--model DIR] [--rounds N] [--seconds N] [--no-decoder]
 * [--json] `.
 *
 * First a decoder-like graph made on the spot (6 layers of width 256, 320 tokens, 16384 words): time of
 * forward plus backward for one logit, in modes grad and attnlrp and with all attention maps, over the time
 * of the plain forward pass, interleaved in one process. Then, on a model directory, every white-box
 * explainer over one full pass of the model, with the sessions that its first use opened and that all later
 * rounds opened. Methods of many passes are measured in fewer rounds where they would take more than
 * --seconds (default 60) each, and left out where one round would.
 */

import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { explainers } from '../../lib/explainers/registry.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { WhiteBoxChain } from '../../lib/explainers/white-box/model.js';
import { Session, type TensorValue } from '../../lib/inference/session.js';
import { makeNode, type NodeOptions, valueInfo } from '../../lib/onnx/graph.js';
import { DifferentiableModel, OnnxModel, selectLogits } from '../../lib/onnx/index.js';
import { prepareModel } from '../../lib/onnx/prepare.js';
import { createMessage, type NodeProto, serializeModel, type TensorProto } from '../../lib/onnx/protobuf.js';
import { DataType, int64Tensor, tensor } from '../../lib/onnx/tensors.js';
import { openSession } from '../../lib/onnx/types.js';
import { packageInfo } from '../../lib/package.js';
import { Random } from '../../lib/statistics/random.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { median } from './median.js';

const [LAYERS, WIDTH, HEADS, HIDDEN, LENGTH, VOCABULARY] = [6, 256, 8, 688, 320, 16384];

/**
 * Processor time of this process: with one thread it is the time that the work takes when nothing else runs.
 */
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

/** Sessions that were opened in this process. */
let opened = 0;
const load = Session.load.bind(Session);
Session.load = (source, options) => {
  opened++;
  return load(source, options);
};

/**
 * Median times of several works, interleaved; the first round warms up. Every round has an order of its own:
 * garbage is collected at regular distances, which in one order would meet the same work every time.
 */
async function interleaved(works: Readonly<Record<string, () => Promise<unknown>>>, rounds: number) {
  const times = new Map<string, number[]>(Object.keys(works).map((name) => [name, []]));
  const random = new Random(1);
  for (let round = 0; round <= rounds; round++) {
    const entries = Object.entries(works);
    for (const at of random.permutation(entries.length)) {
      const [name, work] = entries[at];
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

interface Measured {
  readonly milliseconds: number;
  readonly rounds: number;
  /** Sessions opened by the first use, and by all later ones. */
  readonly sessions: readonly [number, number];
}

/** Explainers that look inside. The others take cells, and a sample keeps the cells that it has scored. */
const WHITE_BOX = new Set(
  'input-x-gradient integrated-gradients attn-lrp grad-cam llava-cam rollout grad-rollout tam'.split(' '),
);

/** Forward passes, or pairs of forward and backward pass, of methods that take more than one. */
const MANY: Readonly<Record<string, number>> = {
  'integrated-gradients': 2 * 35,
  'integrated-gradients, one step per run': 2 * 35,
  'integrated-gradients, joint path': 2 * 18,
  'llava-cam': 2 * 10,
};

type Works = Readonly<Record<string, () => Promise<unknown>>>;

/**
 * One full pass: vision tower, embedding, decoder with all logits, as loaded from the directory; and the same
 * with one row of logits.
 */
async function plainPasses(chain: WhiteBoxChain, threads: number): Promise<Works> {
  const { whiteBox, length } = chain;
  const vision = await Session.load(whiteBox.visionModel, { threads });
  const decoder = await Session.load(whiteBox.decoderModel, { threads });
  const model = await prepareModel(whiteBox.decoderModel);
  selectLogits(model, { rows: 'rows' });
  model.graph.proto.output = model.graph.proto.output.filter(({ name }) => name === 'logits');
  model.graph.prune();
  const row = await openSession(model, 'all', undefined, threads);
  const merged = async () => {
    const features = await vision.run(chain.visionFeeds(), { outputs: [whiteBox.featureOutput] });
    const values = (features[whiteBox.featureOutput] as { data: Float32Array }).data;
    return chain.decoderFeeds(chain.merged(values, await chain.embedInput()));
  };
  const last = ndarray(BigInt64Array.of(BigInt(length - 1)), [1]) as unknown as TensorValue;
  return {
    'full pass': async () => decoder.run(await merged(), { outputs: ['logits'], keep: ['logits'] }),
    'full pass, one row of logits': async () => {
      const given = { ...(await merged()), rows: last };
      const read = new Set(row.inputs.map(({ name }) => name));
      await row.run(Object.fromEntries(Object.entries(given).filter(([name]) => read.has(name))));
    },
  };
}

async function explained(directory: string, rounds: number, seconds: number, threads: number) {
  const vlm = await loadVlm(directory, { threads });
  const size = 336;
  const image = ndarray(
    new Uint8Array(size * size * 3).map((_, i) => (i * 7) % 251),
    [size, size, 3],
  );
  // The answer is given: random weights may say a token that the tokenizer lacks.
  const sample = await vlm.prepare(image, 'Is there a red circle?', { answer: 'yes' });
  const chain = WhiteBoxChain.of(sample, 'benchmark');
  const attribute = (explainer: Explainer) => () =>
    explainer.attribute({ sample, seed: 1, evaluate: (cells, options) => sample.evaluate(cells, options) });
  const works: Record<string, () => Promise<unknown>> = {};
  for (const explainer of explainers.filter(({ name }) => WHITE_BOX.has(name))) {
    works[explainer.name] = attribute(explainer);
  }
  works['integrated-gradients, one step per run'] = attribute(integratedGradients({ batch: 1 }));
  works['integrated-gradients, joint path'] = attribute(integratedGradients({ path: 'joint' }));
  const single = Object.entries(works).filter(([name]) => MANY[name] === undefined);
  const passes = await plainPasses(chain, threads);
  const measured = await counted({ ...passes, ...Object.fromEntries(single) }, rounds);
  const pass = measured['full pass']?.milliseconds as number;
  const players = sample.imagePlayers.count + sample.textPlayers.count;
  const leftOut: Record<string, number> = {};
  for (const [name, count] of Object.entries(MANY)) {
    const work = works[name];
    const estimate = (count * pass) / 1000;
    const fitting = Math.min(rounds, Math.floor(seconds / estimate) - 1);
    if (work === undefined || fitting < 1) leftOut[name] = estimate;
    else Object.assign(measured, await counted({ [name]: work }, fitting));
  }
  vlm.dispose();
  return { length: chain.length, players, measured, leftOut };
}

/** Interleaved rounds after a first one, with the sessions that both opened. */
async function counted(works: Works, rounds: number): Promise<Record<string, Measured>> {
  const first = new Map<string, number>();
  for (const [name, work] of Object.entries(works)) {
    const before = opened;
    await work();
    first.set(name, opened - before);
  }
  const later = new Map<string, number>();
  const observed = Object.entries(works).map(([name, work]) => {
    const counting = async () => {
      const before = opened;
      await work();
      later.set(name, (later.get(name) ?? 0) + opened - before);
    };
    return [name, counting] as const;
  });
  const times = await interleaved(Object.fromEntries(observed), rounds);
  return Object.fromEntries(
    Object.entries(times).map(([name, milliseconds]) => [
      name,
      { milliseconds, rounds, sessions: [first.get(name) ?? 0, later.get(name) ?? 0] as const },
    ]),
  );
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

function report(
  name: string,
  { length, players, measured, leftOut }: Awaited<ReturnType<typeof explained>>,
): void {
  const whole = measured['full pass']?.milliseconds as number;
  const row = measured['full pass, one row of logits']?.milliseconds as number;
  console.log(`${name}, ${length} tokens, ${players} players`);
  console.log(
    `  ${''.padEnd(40)} ${'time'.padStart(12)}  full passes  with one row  rounds  sessions at first, later`,
  );
  for (const [method, { milliseconds, rounds, sessions }] of Object.entries(measured)) {
    const ratios = [whole, row].map((base) => (milliseconds / base).toFixed(2));
    console.log(
      `  ${method.padEnd(40)} ${milliseconds.toFixed(1).padStart(9)} ms  ${ratios[0]?.padStart(11)}  ` +
        `${ratios[1]?.padStart(12)}  ${String(rounds).padStart(6)}  ${sessions.join(', ')}`,
    );
  }
  for (const [method, estimate] of Object.entries(leftOut))
    console.log(`  ${method.padEnd(40)} left out: about ${estimate.toFixed(0)} s a round (--seconds)`);
}

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: join(packageInfo().root, 'bench/models/llava-tiny/model') },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '60' },
    'no-decoder': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const THREADS = 1;
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${THREADS} thread`;
const rounds = Number(values.rounds);
const decoder = values['no-decoder'] ? undefined : await synthetic(rounds, THREADS);
const model = existsSync(values.model)
  ? await explained(values.model, rounds, Number(values.seconds), THREADS)
  : undefined;
if (values.json) console.log(JSON.stringify({ machine, decoder, model }));
else {
  console.log(machine);
  if (decoder)
    table(`decoder of ${LAYERS} layers, width ${WIDTH}, ${LENGTH} tokens, ${VOCABULARY} words`, decoder);
  const folder = basename(values.model) === 'model' ? dirname(values.model) : values.model;
  if (model) report(basename(folder), model);
  else console.log(`no model directory at ${values.model}`);
}
process.exit(0);
