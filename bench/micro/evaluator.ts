/**
 * What sharing forward passes is worth:
 * `npm run bench:evaluator -- [--model DIR] [--rounds N] [--threads N] [--json]`.
 *
 * One sample, all cells of F_syn and the four unimodal curves of one explanation, in one process and
 * interleaved rounds: planned; every distinct cell as a full pass in batches, each image state encoded once;
 * every cell that the published code asks for one by one with its own encoding, on the export as it is, which
 * computes the logits of every token as the published code does, and on our edit of it, which computes wanted
 * rows only. The slow arms are measured on evenly spaced cells and scaled to all of them. The floor is the
 * plan's operations over the rate of a matrix product of the model's own shape in the same round.
 */

import { existsSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import ndarray from 'ndarray';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator, type EvaluatedCells } from '../../lib/inference/evaluator.js';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import { defaultFaithfulness, requestFaithfulness } from '../../lib/metrics/faithfulness.js';
import { makeNode, valueInfo } from '../../lib/onnx/graph.js';
import { createMessage, serializeModel } from '../../lib/onnx/protobuf.js';
import { DataType } from '../../lib/onnx/tensors.js';
import { packageInfo } from '../../lib/package.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { locatePart } from '../../lib/vlm/files/directory.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { RgbImage } from '../../lib/vlm/types.js';
import { median } from './median.js';

/**
 * Forward passes of one explanation in the published code: 4 curves of 11 steps, F_syn insertion and
 * deletion.
 */
const PUBLISHED_PASSES = 118;
const QUESTION =
  'Is the small red circle that lies to the left of the large blue square also above the green triangle in the corner of the picture, or is it not there at all?';

interface Round {
  readonly planned: number;
  readonly unshared: number;
  readonly naive: number;
  /** One by one, but on the decoder that computes wanted rows only. */
  readonly naiveRows: number;
  readonly flopsPerSecond: number;
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** A picture with structure at every scale, so that masking it changes something everywhere. */
function picture(size: number): RgbImage {
  const data = new Uint8Array(size * size * 3).map((_, i) => (((i * 7) % 251) ^ (i >> 8)) & 255);
  return ndarray(data, [size, size, 3]);
}

/** The cells of all metrics for one attribution without ties. */
function metricCells(sample: DecoderSample): CellTable {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const scores = (count: number, frequency: number) =>
    Float64Array.from({ length: count }, (_, i) => Math.sin(i * frequency));
  const attribution = { image: scores(cells.imagePlayers, 12.9898), text: scores(cells.textPlayers, 78.233) };
  requestFaithfulness(cells, attribution, defaultFaithfulness);
  return cells;
}

/** Every n-th cell of a table, as tables that keep only the states they need. */
function some(cells: CellTable, wanted: readonly number[]): CellTable {
  const part = new CellTable(cells.imagePlayers, cells.textPlayers);
  for (const cell of wanted) part.copyCell(cells, cell);
  return part;
}

const spaced = (count: number, wanted: number) =>
  Array.from({ length: Math.min(wanted, count) }, (_, k) =>
    Math.floor((k * count) / Math.min(wanted, count)),
  );

/** A matrix product with a constant right side, of the shape of the decoder's feed-forward layers. */
async function productSession(width: number, threads: number): Promise<{ run(): Promise<number> }> {
  const rows = 512;
  const inner = 4 * width;
  const node = (type: string, input: string[], output: string[]) => makeNode(type, input, output);
  const constant = createMessage('TensorProto', {
    name: 'w',
    dataType: DataType.float32,
    dims: [BigInt(width), BigInt(inner)],
    rawData: new Uint8Array(new Float32Array(width * inner).fill(0.01).buffer),
  });
  const bytes = serializeModel(
    createMessage('ModelProto', {
      irVersion: 8n,
      opsetImport: [createMessage('OperatorSetIdProto', { domain: '', version: 17n })],
      graph: createMessage('GraphProto', {
        name: 'product',
        node: [node('MatMul', ['x', 'w'], ['y'])],
        initializer: [constant],
        input: [valueInfo('x', DataType.float32, [rows, width])],
        output: [valueInfo('y', DataType.float32, [rows, inner])],
      }),
    }),
  );
  const session = await Session.load(bytes);
  const x = ndarray(new Float32Array(rows * width).fill(0.5), [rows, width]);
  const flops = 2 * rows * width * inner;
  const repeats = Math.ceil(4e10 / flops);
  return {
    /** Operations per second of `threads` independent streams of products. */
    async run() {
      const stream = async () => {
        for (let i = 0; i < repeats; i++) {
          const { y } = await session.run({ x }, { keep: ['y'] });
          (y as { dispose?(): void }).dispose?.();
        }
      };
      const time = await seconds(() => Promise.all(Array.from({ length: threads }, stream)));
      return (threads * repeats * flops) / time;
    },
  };
}

/** The sample on the decoder's file as it is. */
async function unedited(sample: DecoderSample, model: string): Promise<EvaluatorProgram> {
  const program = sample.program();
  const { rows: _, ...wiring } = program.wiring;
  const { path } = await locatePart(model, 'decoder_model_merged', 'auto');
  return { ...program, wiring, decoder: await Session.load(path) };
}

async function measure(
  sample: DecoderSample,
  model: string,
  cells: CellTable,
  rounds: number,
  threads: number,
) {
  const program = sample.program();
  const fresh = (sharing: 'auto' | 'none', of = program) =>
    CoalitionEvaluator.create(of, { workers: threads, sharing, cacheMemory: 1 });
  const hidden = program.decoder.inputs.find((input) => input.name === program.wiring.embeds)?.shape[2];
  const product = await productSession(typeof hidden === 'number' ? hidden : 1024, threads);
  // Whole image states for the batched arm, so that its batches are as large as they would be.
  const few = some(cells, spaced(cells.cellCount, Math.max(8, 4 * threads)));
  const part = some(
    cells,
    [...cells.pairs()]
      .filter((_, i) => i % 2 === 0)
      .flatMap((state, cell) => (state % 3 === 1 ? [cell] : [])),
  );
  const results: Round[] = [];
  let last: EvaluatedCells | undefined;
  let worst = 0;
  let peak = 0;
  let published: EvaluatorProgram | undefined;
  for (let round = 0; round < rounds; round++) {
    const evaluator = await fresh('auto');
    const planned = await seconds(async () => {
      last = await evaluator.evaluate(cells);
    });
    // The second decoder comes afterwards.
    if (published === undefined) peak = process.memoryUsage.rss();
    published ??= await unedited(sample, model);
    const flopsPerSecond = await product.run();
    const batched = await fresh('none');
    const unshared = await seconds(() => batched.evaluate(part));
    const oneByOne = async (of: EvaluatorProgram) => {
      let done = 0;
      const stream = async () => {
        const single = await fresh('none', of);
        while (done < few.cellCount) await single.evaluate(some(few, [done++]));
      };
      // As many streams as the other arms have threads: the ratio is about sharing, not about cores.
      const time = await seconds(() => Promise.all(Array.from({ length: threads }, stream)));
      return (time * PUBLISHED_PASSES) / few.cellCount;
    };
    const naive = await oneByOne(published);
    const naiveRows = await oneByOne(program);
    results.push({
      planned,
      unshared: (unshared * cells.cellCount) / part.cellCount,
      naive,
      naiveRows,
      flopsPerSecond,
    });
    if (round === 0) {
      const reference = await (await fresh('none', published)).evaluate(few);
      const shared = await evaluator.evaluate(few);
      for (let i = 0; i < reference.logProbabilities.length; i++) {
        worst = Math.max(worst, Math.abs(reference.logProbabilities[i] - shared.logProbabilities[i]));
      }
    }
  }
  return { results, last: last!, worst, peak };
}

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'boolean', default: false },
  },
});
const model = values.model ?? join(packageInfo().root, 'bench', 'models', 'random-llava', 'work', '150m');
if (!existsSync(model)) {
  console.error(`${model} does not exist: python bench/models/random_llava.py 150m writes it.`);
  process.exit(1);
}
const threads = Number(values.threads);
const vlm = await loadVlm(model, { threads });
const sample = (await vlm.prepare(picture(336), QUESTION, { answer: 'yes' })) as DecoderSample;
const cells = metricCells(sample);
const baseMemory = process.memoryUsage.rss();
const { results, last, worst, peak } = await measure(sample, model, cells, Number(values.rounds), threads);
const { plan, execution } = last;
type Arm = 'planned' | 'unshared' | 'naive' | 'naiveRows';
const time = (arm: Arm) => median(results.map((round) => round[arm]));
const ratio = (arm: Arm) => median(results.map((round) => round[arm] / round.planned));
const rate = median(results.map((round) => round.flopsPerSecond));
const busy = Object.values(execution!.seconds).reduce((sum, value) => sum + value, 0);
const share = (part: number) => part / busy;
const stages = execution!.seconds;
const report = {
  model: basename(model),
  machine: `${cpus()[0]?.model.trim()}, ${threads} threads`,
  rounds: results.length,
  cells: plan.cells,
  imageStates: plan.imageStates,
  prefixTokens: plan.prefixTokens,
  suffixTokens: plan.suffixTokens,
  batches: plan.batches,
  suffixWork: plan.suffixWork,
  seconds: {
    planned: time('planned'),
    unshared: time('unshared'),
    naive: time('naive'),
    naiveRows: time('naiveRows'),
  },
  ratios: {
    unsharedOverPlanned: ratio('unshared'),
    naiveOverPlanned: ratio('naive'),
    naiveRowsOverPlanned: ratio('naiveRows'),
  },
  flops: plan.flops,
  productGflops: rate / 1e9,
  timesFloor: plan.flops
    ? median(results.map((r) => (r.planned * r.flopsPerSecond) / plan.flops!.total))
    : undefined,
  shares: {
    mask: share(stages.mask),
    vision: share(stages.vision),
    prefix: share(stages.prefix),
    expand: share(stages.expand),
    suffix: share(stages.suffix),
    score: share(stages.score),
  },
  megabytes: { atRest: baseMemory / 2 ** 20, peak: peak / 2 ** 20, planned: plan.bytes.peak / 2 ** 20 },
  largestDifference: worst,
};
if (values.json) console.log(JSON.stringify(report, null, 2));
else {
  const f = (value: number, digits = 2) => value.toFixed(digits);
  console.log(`${report.model} on ${report.machine}, medians of ${report.rounds} rounds`);
  console.log(
    `${plan.cells} cells, ${plan.imageStates} image states; ${plan.prefixTokens} shared and ${plan.suffixTokens} own tokens; ${plan.suffixWork.tokens} of ${plan.suffixWork.withRemoved} own tokens run, ${plan.suffixWork.padding} of padding, in ${plan.suffixWork.runs} runs`,
  );
  console.log(`planned                       ${f(report.seconds.planned)} s`);
  console.log(`deduplicated, batched         ${f(report.seconds.unshared)} s   ${f(ratio('unshared'))} x`);
  console.log(`as published, one by one      ${f(report.seconds.naive)} s   ${f(ratio('naive'))} x`);
  console.log(
    `  only rows that are scored     ${f(report.seconds.naiveRows)} s   ${f(ratio('naiveRows'))} x`,
  );
  if (plan.flops) {
    console.log(
      `operations                    ${f(plan.flops.total / 1e12, 3)} T; at ${f(rate / 1e9, 0)} G/s the floor is ${f(plan.flops.total / rate)} s, planned takes ${f(report.timesFloor!)} x`,
    );
  }
  const parts = Object.entries(report.shares).map(([stage, part]) => `${stage} ${f(100 * part, 1)} %`);
  console.log(`where the time goes           ${parts.join(', ')}`);
  console.log(
    `memory                        ${f(report.megabytes.atRest, 0)} MiB at rest, ${f(report.megabytes.peak, 0)} MiB at most; ${f(report.megabytes.planned, 0)} MiB planned`,
  );
  console.log(`largest difference            ${worst.toExponential(1)} in log-probability`);
}
vlm.dispose();
