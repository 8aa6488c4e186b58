import type { CellTable } from '../cells/table.js';
import type { NativeSchedule } from './native.js';
import {
  checkBudget,
  fragmentation,
  itemBytes,
  leastBytes,
  type ModelSizes,
  type PassSizes,
  selectsRows,
  workerBytes,
  workerPeak,
} from './pass-memory.js';
import type { EvaluatorProgram, ProgramMode } from './program.js';
import { cutRuns, ownTokens, runCosts } from './runs.js';

/** Why cells are not run in the cheapest way. */
export interface Fallback {
  readonly code:
    | 'no-cache'
    | 'prefix-not-causal'
    | 'nothing-shared'
    | 'one-row-per-run'
    | 'one-image-per-run'
    | 'tokens-left-out'
    | 'tokens-kept'
    | 'caches-on-host'
    | 'kernels-on-host';
  readonly reason: string;
}

/** What an evaluation will do, before it does it. */
export interface EvaluationPlan {
  /** Cells wanted, and how many of them are known already. */
  readonly cells: number;
  readonly cachedCells: number;
  /** Image and text states among the cells to be run. */
  readonly imageStates: number;
  readonly textStates: number;
  /** Passes through the language model: one prefix per image state, one suffix per cell; of a dual encoder, per text state. */
  readonly prefixes: number;
  readonly suffixes: number;
  /** Whether prefixes' caches stay in the provider's memory. */
  readonly onDevice: boolean;
  /** Whether pixels are masked and logits scored there, by the CUDA plugin. */
  readonly deviceKernels: boolean;
  readonly prefixTokens: number;
  readonly suffixTokens: number;
  /**
   * Suffixes as they are run: the runs, their tokens with the padding among them, and the tokens that they would have with
   * removed ones in place.
   */
  readonly suffixWork: {
    readonly runs: number;
    readonly tokens: number;
    readonly padding: number;
    readonly withRemoved: number;
  };
  readonly groups: number;
  /** Worker threads that fit into the budget side by side. */
  readonly workers: number;
  readonly batches: { readonly vision: number; readonly prefix: number; readonly suffix: number };
  /** Estimated floating-point operations; undefined where the model's costs are not known. */
  readonly flops:
    | {
        readonly vision: number;
        readonly prefix: number;
        readonly suffix: number;
        readonly total: number;
        /** The same cells as one full pass each, every image state encoded once. */
        readonly unshared: number;
        /** The same cells with one encoding and one full pass each. */
        readonly naive: number;
      }
    | undefined;
  /**
   * Estimated bytes beside the model's weights: of one worker at its largest, of all workers (0 when nothing is to be run),
   * the budget that they were planned for and the smallest one that would do.
   */
  readonly bytes: {
    readonly worker: number;
    readonly peak: number;
    readonly budget: number;
    readonly least: number;
  };
  readonly fallbacks: readonly Fallback[];
}

export interface PlanSettings {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
  readonly workers: number;
  /** Bytes for all workers of this machine together. */
  readonly memory: number;
  /** Shares that the budget is cut into: a property of the machine, so that batches do not depend on `workers`. */
  readonly shares: number;
  readonly sizes: ModelSizes;
}

export interface Schedule {
  readonly plan: EvaluationPlan;
  readonly native: NativeSchedule;
  /** Cell index of every row, in schedule order. */
  readonly rowCells: Int32Array;
}

/** Tokens per run at which the matrix products are efficient; more only costs memory. Measured in bench/micro/evaluator.ts. */
export const TARGET_TOKENS = 512;
/** Image states of small models encoded together at most, so that there are enough groups for every worker. */
const GROUPS_WANTED = 16;

/**
 * Turns wanted cells into groups of image states and batches of suffixes.
 *
 * The result depends on the cells, the model and the memory budget only - never on the number of workers - because the
 * bytes of a score may depend on which cells share a batch.
 *
 * @param wanted indices of the cells to run; the others are known
 */
export function makeSchedule(
  program: EvaluatorProgram,
  cells: CellTable,
  wanted: Int32Array,
  settings: PlanSettings,
): Schedule {
  const byImage = cells.byImage(wanted);
  // States with many texts first: the last groups are then the short ones, and no worker waits long for another.
  const states = [...byImage.keys()].sort((a, b) => byImage.get(b)!.length - byImage.get(a)!.length || a - b);
  const needs = passSizes(program, settings.mode.prefixLength, settings.sizes);
  if (states.length > 0) checkBudget(needs, settings.memory);
  const batches = chooseBatches(needs, settings, states.length);
  const rows = layOutRows(program, cells, states, byImage, settings, batches);
  const needed = wanted.length > 0;
  const item = itemBytes(needs);
  const bytes = workerPeak(item, { ...batches, suffix: rows.longestRun });
  const workers = Math.max(1, Math.min(settings.workers, Math.floor(settings.memory / bytes)));
  const native: NativeSchedule = {
    imagePlayers: cells.imagePlayers,
    textPlayers: cells.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.from(rows.groupOffsets),
    groupStates: Int32Array.from(states),
    rowOffsets: Int32Array.from(rows.rowOffsets),
    rowSlots: Int32Array.from(rows.rowSlots),
    rowTexts: Int32Array.from(rows.rowTexts),
    runOffsets: Int32Array.from(rows.runOffsets),
    visionBatch: batches.vision,
    prefixBatch: batches.prefix,
    workers,
  };
  const tokens = program.tokenIds.length;
  const { mode } = settings;
  const { prefixLength } = mode;
  const plan: EvaluationPlan = {
    cells: cells.cellCount,
    cachedCells: cells.cellCount - wanted.length,
    imageStates: states.length,
    textStates: new Set(rows.rowTexts).size,
    prefixes: prefixLength > 0 ? states.length : 0,
    suffixes: wanted.length,
    onDevice: mode.onDevice === true,
    deviceKernels: mode.deviceKernels === true,
    prefixTokens: prefixLength,
    suffixTokens: tokens - prefixLength,
    suffixWork: rows.work.total,
    groups: rows.groupOffsets.length - 1,
    workers,
    batches: { vision: native.visionBatch, prefix: native.prefixBatch, suffix: batches.suffix },
    flops: estimateFlops(program, prefixLength, states.length, wanted.length, rows.work.flops),
    bytes: {
      worker: bytes,
      // The arenas keep what the trial of the decoder took.
      peak: needed ? Math.max(bytes * Math.min(workers, rows.groupOffsets.length - 1), leastBytes(item)) : 0,
      budget: settings.memory,
      least: leastBytes(item),
    },
    fallbacks: settings.fallbacks,
  };
  return { plan, native, rowCells: Int32Array.from(rows.rowCells) };
}

/** Rows of a schedule in the order in which they are run. */
interface Rows {
  readonly groupOffsets: readonly number[];
  readonly rowOffsets: readonly number[];
  readonly rowSlots: readonly number[];
  readonly rowTexts: readonly number[];
  readonly rowCells: readonly number[];
  readonly runOffsets: readonly number[];
  /** Sequences in the run that has most. */
  readonly longestRun: number;
  readonly work: SuffixWork;
}

/** Orders the cells of every group by length and cuts them into runs. */
function layOutRows(
  program: EvaluatorProgram,
  cells: CellTable,
  states: readonly number[],
  byImage: ReadonlyMap<number, readonly number[]>,
  { mode, sizes }: PlanSettings,
  batches: Batches,
): Rows {
  const costs = runCosts(program, mode.prefixLength, sizes.cacheBytesPerToken);
  const limits = { rows: batches.suffix, tokens: TARGET_TOKENS };
  const work = new SuffixWork(program, mode.prefixLength);
  const [groupOffsets, rowOffsets, runOffsets] = [[0], [0], [0]];
  const [rowSlots, rowTexts, rowCells]: [number[], number[], number[]] = [[], [], []];
  let longestRun = 1;
  for (let begin = 0; begin < states.length; begin += batches.group) {
    const group = states.slice(begin, begin + batches.group);
    const rows = group.flatMap((state, slot) =>
      byImage.get(state)!.map((cell) => {
        const text = cells.textOf(cell);
        return { cell, slot, text, length: ownTokens(program, mode, cells.textPresence(text)) };
      }),
    );
    // Stable: among equal lengths rows keep their order.
    rows.sort((a, b) => b.length - a.length);
    for (const { cell, slot, text } of rows) {
      rowCells.push(cell);
      rowSlots.push(slot);
      rowTexts.push(text);
    }
    const lengths = rows.map(({ length }) => length);
    for (const size of cutRuns(lengths, costs, limits)) {
      work.add(lengths.splice(0, size));
      longestRun = Math.max(longestRun, size);
      runOffsets.push(runOffsets.at(-1)! + size);
    }
    groupOffsets.push(begin + group.length);
    rowOffsets.push(rowCells.length);
  }
  return { groupOffsets, rowOffsets, rowSlots, rowTexts, rowCells, runOffsets, longestRun, work };
}

/** What decides how much memory the passes of a program take with `prefixLength` tokens shared. */
export function passSizes(program: EvaluatorProgram, prefixLength: number, sizes: ModelSizes): PassSizes {
  return {
    tokens: program.tokenIds.length,
    prefixLength,
    targets: program.targets.length,
    selectsRows: selectsRows(program.wiring),
    features: program.imagePositions.length,
    visionTokens: program.visionTokens ?? program.imagePositions.length,
    visionTiles: program.visionTiles ?? 1,
    pixels: program.pixels.length,
    sizes,
  };
}

/** What one run takes on, and how many image states are in work. */
interface Batches {
  readonly vision: number;
  readonly prefix: number;
  readonly suffix: number;
  readonly group: number;
}

/** What the smallest budget is made of. */
const ONE_BY_ONE: Batches = { vision: 1, prefix: 1, suffix: 1, group: 1 };

function chooseBatches(
  needs: PassSizes,
  { mode, memory, shares, fallbacks }: PlanSettings,
  states: number,
): Batches {
  const item = itemBytes(needs);
  const fellBack = (code: Fallback['code']) => fallbacks.some((fallback) => fallback.code === code);
  const single = (mode.compact && !mode.padded) || fellBack('one-row-per-run');
  const share = memory / shares;
  if (share <= leastBytes(item)) return ONE_BY_ONE;
  const fit = (room: number, perItem: number, tokens: number, most: number) =>
    Math.max(1, Math.min(Math.floor(room / perItem), Math.ceil(TARGET_TOKENS / tokens), most));
  const room = (share - workerBytes) / fragmentation;
  const wanted = Math.max(1, Math.ceil(states / GROUPS_WANTED));
  const vision = fellBack('one-image-per-run')
    ? 1
    : powerOfTwo(fit(room / 4, item.vision, Math.max(1, needs.features), wanted));
  const half = (room - vision * item.vision) / 2;
  const prefix =
    mode.prefixLength > 0
      ? fit(half, item.prefix + item.held, mode.prefixLength, Math.max(1, states))
      : Math.max(1, states);
  // States that share neither kind of run are better spread over workers: the last groups are then half as long.
  const apart = vision === 1 && prefix === 1 && mode.onDevice !== true;
  const most = apart ? 1 : Math.max(1, Math.min(prefix, Math.floor(half / item.held), wanted));
  const group = most > vision ? most - (most % vision) : most;
  const left = 2 * half - group * item.held;
  const suffix = single ? 1 : fit(left, item.suffix, needs.tokens - mode.prefixLength, Infinity);
  const batches = { vision: Math.min(vision, group), prefix: Math.min(prefix, group), suffix, group };
  // Items larger than their part of the share.
  return workerPeak(item, batches) <= share ? batches : ONE_BY_ONE;
}

/** The largest that is at most `count`: every size is tried once, and so there are few. */
function powerOfTwo(count: number): number {
  return 2 ** Math.floor(Math.log2(count));
}

/** Adds up the suffixes of a schedule, run by run. */
class SuffixWork {
  flops = 0;
  readonly #total = { runs: 0, tokens: 0, padding: 0, withRemoved: 0 };
  readonly #program: EvaluatorProgram;
  readonly #prefixLength: number;

  constructor(program: EvaluatorProgram, prefixLength: number) {
    this.#program = program;
    this.#prefixLength = prefixLength;
  }

  get total(): EvaluationPlan['suffixWork'] {
    return this.#total;
  }

  /** @param lengths own tokens of the sequences of one run, longest first */
  add(lengths: readonly number[]): void {
    const { tokenIds, targets } = this.#program;
    const [longest] = lengths as [number];
    const tokens = lengths.length * longest;
    this.#total.runs++;
    this.#total.tokens += tokens;
    this.#total.padding += lengths.reduce((padding, length) => padding - length, tokens);
    this.#total.withRemoved += lengths.length * (tokenIds.length - this.#prefixLength);
    this.flops += lengths.length * passFlops(this.#program, this.#prefixLength, longest, targets.length);
  }
}

/** Operations of one sequence of `tokens` after `past` cached ones; 0 where the model's costs are not known. */
function passFlops(
  { costs, wiring }: EvaluatorProgram,
  past: number,
  tokens: number,
  wantedRows: number,
): number {
  if (costs === undefined) return 0;
  const rows = selectsRows(wiring) ? wantedRows : tokens;
  return (
    tokens * costs.tokenFlops +
    rows * costs.headFlops +
    attendedPairs(past, tokens) * costs.attentionFlops +
    rows * (past + tokens) * costs.rowAttentionFlops
  );
}

function estimateFlops(
  program: EvaluatorProgram,
  prefixLength: number,
  states: number,
  cells: number,
  suffix: number,
): EvaluationPlan['flops'] {
  const { costs, tokenIds } = program;
  if (costs === undefined) return undefined;
  const vision = states * costs.visionFlops;
  const prefix = prefixLength > 0 ? states * passFlops(program, 0, prefixLength, 1) : 0;
  const full = passFlops(program, 0, tokenIds.length, tokenIds.length);
  return {
    vision,
    prefix,
    suffix,
    total: vision + prefix + suffix,
    unshared: vision + cells * full,
    naive: cells * (costs.visionFlops + full),
  };
}

/** Exports compute the full rectangle of scores and mask the future afterwards. */
function attendedPairs(past: number, tokens: number): number {
  return tokens * (past + tokens);
}
