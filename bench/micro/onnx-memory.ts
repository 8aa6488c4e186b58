/**
 * What checkpoints save: `node dist/bench/micro/onnx-memory.js --model DIR [--length N] [--json]` (Linux).
 *
 * For the vision tower and the decoder of a LLaVA-like directory: peak resident memory and processor time of
 * a forward and a backward pass in one graph (`DifferentiableModel`; decoder and one logit only), in two with
 * everything kept, and in two with checkpoints behind every block (`SplitModel`), each in a process of its
 * own, beside the estimate that is made before the run. Memory is counted above what the process held before
 * the sessions were opened. Times are medians of the process's own processor time, which other work on the
 * machine hardly touches.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import type { TensorValue } from '../../lib/inference/session.js';
import { declaredShape } from '../../lib/onnx/graph.js';
import {
  DifferentiableModel,
  type MemoryEstimate,
  type OnnxModel,
  SplitModel,
  selectLogits,
} from '../../lib/onnx/index.js';
import { prepareModel } from '../../lib/onnx/prepare.js';
import { DataType } from '../../lib/onnx/tensors.js';

const MEBIBYTE = 2 ** 20;
const PARTS = { vision: 'vision_encoder.onnx', decoder: 'decoder_model_merged.onnx' } as const;

interface Measurement {
  readonly estimated: number;
  readonly kept: number;
  readonly weights: number;
  readonly peak: number;
  readonly seconds: number;
}

/** Inputs of the model's declared types for one image or for `length` tokens without a cache. */
function madeUpFeeds(model: OnnxModel, length: number): Record<string, TensorValue> {
  const feeds: Record<string, TensorValue> = {};
  for (const value of model.graph.proto.input) {
    const shape = (declaredShape(value) ?? []).map((extent, axis) => {
      if (typeof extent === 'number') return extent;
      if (axis === 0) return 1;
      return value.name.startsWith('past_key_values') ? 0 : length;
    });
    const count = shape.reduce((product, extent) => product * extent, 1);
    const type = value.type?.tensorType?.elemType;
    const data =
      type === DataType.int64
        ? BigInt64Array.from({ length: count }, (_, i) => BigInt(value.name === 'position_ids' ? i : 1))
        : Float32Array.from({ length: count }, (_, i) => Math.sin(i));
    feeds[value.name] = ndarray(data as Float32Array, shape) as TensorValue;
  }
  const last = BigInt64Array.of(BigInt(length - 1));
  return { ...feeds, logit_positions: ndarray(last, [1]) as unknown as TensorValue };
}

/** Resident memory that no file backs: pages of weights read from their file can be dropped at any time. */
function resident(): number {
  const line = /RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** Most resident memory during some work, sampled. */
async function peakDuring(work: () => Promise<unknown>): Promise<number> {
  let peak = resident();
  const timer = setInterval(() => {
    peak = Math.max(peak, resident());
  }, 2);
  await work();
  clearInterval(timer);
  return Math.max(peak, resident());
}

type Way = 'whole' | 'never' | 'always';
const WAYS: Readonly<Record<Way, string>> = {
  whole: 'one graph',
  never: 'two graphs, everything kept',
  always: 'two graphs, checkpoints',
};
const ROUNDS = 9;

interface Prepared {
  readonly estimate: MemoryEstimate;
  readonly run: () => Promise<unknown>;
}

async function prepare(path: string, way: Way, length: number): Promise<Prepared> {
  const model = await prepareModel(path);
  const memory = Number.MAX_SAFE_INTEGER;
  const feeds = madeUpFeeds(model, length);
  const decoder = model.graph.has('logits');
  if (way === 'whole') {
    const whole = await DifferentiableModel.load(model, { checkpoints: 'never', memory });
    const target = { position: -1, token: 5 };
    return { estimate: await whole.estimate(feeds, target), run: () => whole.run(feeds, target) };
  }
  if (decoder) selectLogits(model, { rows: 'logit_positions' });
  const output = decoder ? 'logits' : 'image_features';
  const split = await SplitModel.load(model, { output, checkpoints: way, memory });
  const run = async () => {
    using pass = await split.forward(feeds);
    const cotangent = (pass.output as { data: Float32Array }).data.map(() => 1e-3);
    await pass.backward(ndarray(cotangent, [...pass.output.shape]) as TensorValue);
  };
  return { estimate: await split.estimate(feeds), run };
}

async function measure(path: string, way: Way, length: number): Promise<Measurement> {
  const { estimate: all, run } = await prepare(path, way, length);
  const estimate = way === 'always' ? all.checkpointed : all.plain;
  const before = resident();
  const peak = await peakDuring(run);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(start);
    times.push((user + system) / 1e6);
  }
  const { kept, weights } = estimate;
  const seconds = times.sort((a, b) => a - b)[ROUNDS >> 1];
  return { estimated: estimate.peak, kept, weights, peak: peak - before, seconds };
}

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    length: { type: 'string', default: '620' },
    json: { type: 'boolean', default: false },
    part: { type: 'string' },
    way: { type: 'string' },
  },
});
if (!values.model) throw new Error('--model DIR is needed');
const length = Number(values.length);
if (values.part) {
  const path = join(values.model, 'onnx', PARTS[values.part as keyof typeof PARTS]);
  console.log(JSON.stringify(await measure(path, values.way as Way, length)));
  process.exit(0);
}

const rows: Record<string, Measurement> = {};
for (const part of Object.keys(PARTS)) {
  for (const [way, title] of Object.entries(WAYS)) {
    // One graph explains one logit.
    if (way === 'whole' && part !== 'decoder') continue;
    const script = [fileURLToPath(import.meta.url), '--model', values.model, '--length', values.length];
    const child = spawnSync(process.execPath, [...script, '--part', part, '--way', way], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.status !== 0) throw new Error(`${part}, ${title}, failed`);
    rows[`${part}, ${title}`] = JSON.parse(child.stdout) as Measurement;
  }
}
if (values.json) console.log(JSON.stringify({ machine: cpus()[0]?.model, length, rows }));
else {
  console.log(`${cpus()[0]?.model ?? 'unknown processor'}, 1 thread, ${length} tokens; MiB`);
  for (const [name, row] of Object.entries(rows)) {
    const size = (bytes: number) => (bytes / MEBIBYTE).toFixed(0).padStart(6);
    console.log(
      `  ${name.padEnd(38)} estimated ${size(row.estimated)} (kept ${size(row.kept)}) and weights ${size(row.weights)}, ` +
        `measured ${size(row.peak)}, ${row.seconds.toFixed(2)} s of processor time`,
    );
  }
}
