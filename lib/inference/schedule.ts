import type { CellTable } from '../cells/table.js';
import { type Batches, type BatchSettings, chooseBatches, TARGET_TOKENS } from './batches.js';
import type { NativeSchedule } from './native.js';
import { estimateFlops, SuffixWork } from './operations.js';
import { checkBudget, itemBytes, leastBytes, type ModelSizes, workerPeak } from './pass-memory.js';
import type { EvaluationPlan } from './plan.js';
import type { EvaluatorProgram } from './program.js';
import { cutRuns, ownTokens, runCosts } from './runs.js';
import { passSizes } from './sizes.js';

export interface PlanSettings extends BatchSettings {
  readonly workers: number;
  readonly sizes: ModelSizes;
}

export interface Schedule {
  readonly plan: EvaluationPlan;
  readonly native: NativeSchedule;
  /** Cell index of every row, in schedule order. */
  readonly rowCells: Int32Array;
  /** The most that is run together. */
  readonly batches: Batches;
}

/**
 * Turns wanted cells into groups of image states and batches of suffixes.
 *
 * The result depends on the cells, the model and the memory budget only - never on the number of workers -
 * because the bytes of a score may depend on which cells share a batch.
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
  // States with many texts first: the last groups are then the short ones, and no worker waits long for
  // another.
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
  // Every number of sequences that is run together is tried; powers of two are few.
  const suffix = Math.min(batches.suffix, 2 ** Math.ceil(Math.log2(rows.longestRun)));
  return { plan, native, rowCells: Int32Array.from(rows.rowCells), batches: { ...batches, suffix } };
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
