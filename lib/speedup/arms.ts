import type { Attribution } from '../cells/attribution.js';
import { requestCorners } from '../cells/corners.js';
import { type Ranking, rankAttribution } from '../cells/ranking.js';
import { CellTable } from '../cells/table.js';
import { FsynError } from '../errors.js';
import { CoalitionEvaluator } from '../inference/evaluator.js';
import type { EvaluatorProgram } from '../inference/program.js';
import { requestQuantileShapley } from '../metrics/quantile-shapley.js';
import { requestShapley, type ShapleyOptions } from '../metrics/shapley.js';
import { defaultSteps } from '../metrics/steps.js';
import { requestSynergy } from '../metrics/synergy.js';
import { quantile } from '../statistics/bootstrap.js';
import type { PreparedSample } from '../vlm/types.js';

export const armNames = [
  'SII as published',
  'F_syn as published',
  'SII planned',
  'F_syn planned',
  'quantile SII planned',
] as const;

/** What one way of computing one metric costs. */
export interface Arm {
  readonly name: (typeof armNames)[number];
  /** Forward passes of the language model, repeats included (published), or distinct cells (planned). */
  readonly cells: number;
  /** Images encoded, repeats included (published), or distinct image states (planned). */
  readonly imageStates: number;
  /** Estimated floating-point operations; NaN where the model's costs are not known. */
  readonly flops: number;
  readonly seconds: number;
}

/** Batch sizes of the published code. */
const publishedBatch = { synergy: 1, shapley: 16 };

/** What bounds an arm: the evaluator's memory in bytes (undefined for its default) and a signal to stop. */
export interface ArmLimits {
  readonly memory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Pass = readonly [imageState: Uint8Array, textState: Uint8Array];

/** The parts of a prepared sample that the native evaluator works on. */
export function programOf(prepared: PreparedSample): EvaluatorProgram {
  const owner = prepared as PreparedSample & { program?: () => EvaluatorProgram };
  if (typeof owner.program === 'function') return owner.program();
  throw new FsynError(
    'UNSUPPORTED_MODEL',
    'The speed-up is measured on models with a vision encoder and a decoder; a classifier has no prefix to share.',
  );
}

/**
 * Runs one attribution's metrics in every arm. As published, every cell is a full forward pass, repeats
 * included, in the published batch sizes; planned, repeats are dropped, image states encoded once and
 * prefixes shared. One worker thread everywhere, so that batching is not confused with parallelism. Where a
 * published batch holds an image twice it is encoded once, which makes those arms faster than published.
 */
export async function timeArms(
  program: EvaluatorProgram,
  attribution: Attribution,
  shapley: ShapleyOptions,
  limits: ArmLimits = {},
): Promise<Arm[]> {
  const tableOf = (request: (table: CellTable, ranking: Ranking) => unknown) => {
    const table = new CellTable(program.imagePlayers, program.textPlayers);
    request(table, rankAttribution(table, attribution));
    return table;
  };
  const synergyTable = tableOf((table, ranking) =>
    requestSynergy(table, ranking, requestCorners(table), defaultSteps),
  );
  const shapleyTable = tableOf((table, ranking) =>
    requestShapley(table, ranking, requestCorners(table), defaultSteps, shapley),
  );
  const quantileTable = tableOf((table, ranking) => requestQuantileShapley(table, ranking));
  const shapleyList = shapleyPasses(program, attribution, shapley);
  const synergyList = synergyPasses(program, attribution);
  return [
    await published('SII as published', program, shapleyList, publishedBatch.shapley, limits),
    await published('F_syn as published', program, synergyList, publishedBatch.synergy, limits),
    await planned('SII planned', program, shapleyTable, limits),
    await planned('F_syn planned', program, synergyTable, limits),
    await planned('quantile SII planned', program, quantileTable, limits),
  ];
}

/** The published forward passes of F_syn: two that choose the scored token, two corners, six per step. */
export function synergyPasses(program: EvaluatorProgram, attribution: Attribution): Pass[] {
  const table = new CellTable(program.imagePlayers, program.textPlayers);
  const corners = requestCorners(table);
  const { insertion, deletion } = requestSynergy(
    table,
    rankAttribution(table, attribution),
    corners,
    defaultSteps,
  );
  const perStep = defaultSteps.flatMap((_, step) =>
    [insertion, deletion].flatMap((part) => [part.joint[step], part.image[step], part.text[step]]),
  );
  return passes(table, [corners.full, corners.empty, corners.empty, corners.full, ...perStep]);
}

/**
 * The published forward passes of the index: two that choose the scored token, 2^(groups + 2) at every step.
 */
export function shapleyPasses(
  program: EvaluatorProgram,
  attribution: Attribution,
  shapley: ShapleyOptions,
): Pass[] {
  const table = new CellTable(program.imagePlayers, program.textPlayers);
  const corners = requestCorners(table);
  const { tables } = requestShapley(table, rankAttribution(table, attribution), corners, defaultSteps, {
    ...shapley,
    partitions: 1,
  });
  return passes(table, [corners.full, corners.empty, ...tables[0].flatMap((cells) => Array.from(cells))]);
}

function passes(table: CellTable, cells: readonly number[]): Pass[] {
  return cells.map((cell) => [
    table.imagePresence(table.imageOf(cell)),
    table.textPresence(table.textOf(cell)),
  ]);
}

async function published(
  name: Arm['name'],
  program: EvaluatorProgram,
  list: readonly Pass[],
  batch: number,
  { memory, signal }: ArmLimits,
): Promise<Arm> {
  // No memory for scores: a pass is run again, as published, where its cell was seen before.
  const evaluator = await CoalitionEvaluator.create(program, {
    workers: 1,
    memory,
    sharing: 'none',
    cacheMemory: 1,
  });
  const batches = Array.from({ length: Math.ceil(list.length / batch) }, (_, i) => {
    const table = new CellTable(program.imagePlayers, program.textPlayers);
    const slice = list.slice(i * batch, (i + 1) * batch);
    for (const [image, text] of slice) table.cell(table.imageState(image), table.textState(text));
    return { table, passes: slice.length };
  });
  let flops = 0;
  // Planning tries what is run together, which the published code does not.
  for (const { table, passes } of batches) {
    const plan = await evaluator.plan(table, { signal });
    flops += ((plan.flops?.naive ?? Number.NaN) / table.cellCount) * passes;
  }
  const start = performance.now();
  for (const { table } of batches) await evaluator.evaluate(table, { signal });
  return {
    name,
    cells: list.length,
    imageStates: list.length,
    flops,
    seconds: (performance.now() - start) / 1000,
  };
}

async function planned(
  name: Arm['name'],
  program: EvaluatorProgram,
  table: CellTable,
  { memory, signal }: ArmLimits,
): Promise<Arm> {
  const evaluator = await CoalitionEvaluator.create(program, { workers: 1, memory });
  const { flops } = await evaluator.plan(table);
  const start = performance.now();
  await evaluator.evaluate(table, { signal });
  const seconds = (performance.now() - start) / 1000;
  return {
    name,
    cells: table.cellCount,
    imageStates: table.imageStateCount,
    flops: flops?.total ?? Number.NaN,
    seconds,
  };
}

/** Median of every number over repeated measurements of the same arms. */
export function medianArms(timings: readonly (readonly Arm[])[]): Arm[] {
  const [first] = timings;
  if (!first) return [];
  return first.map(({ name }, i) => {
    const median = (pick: (arm: Arm) => number) =>
      quantile(Float64Array.from(timings, (arms) => pick(arms[i])).sort(), 0.5);
    return {
      name,
      cells: median((arm) => arm.cells),
      imageStates: median((arm) => arm.imageStates),
      flops: median((arm) => arm.flops),
      seconds: median((arm) => arm.seconds),
    };
  });
}
