import type { CellTable } from '../metrics/cells.js';
import type { NativeSchedule } from './addon.js';
import type { EvaluatorProgram, ProgramMode } from './program.js';

/** Why cells are not run in the cheapest way. */
export interface Fallback {
  readonly code: 'no-cache' | 'prefix-not-causal' | 'nothing-shared' | 'one-row-per-run' | 'tokens-left-out';
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
  /** Passes through the language model: one prefix per image state, one suffix per cell. */
  readonly prefixes: number;
  readonly suffixes: number;
  readonly prefixTokens: number;
  readonly suffixTokens: number;
  readonly groups: number;
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
  /** Estimated bytes of one worker at its largest, of all workers, and the budget they were planned for. */
  readonly bytes: { readonly worker: number; readonly peak: number; readonly budget: number };
  readonly fallbacks: readonly Fallback[];
}

/** Sizes that decide how much fits into memory. */
export interface ModelSizes {
  /** Bytes of the key/value cache per token. */
  readonly cacheBytesPerToken: number;
  readonly hidden: number;
  readonly vocabulary: number;
  readonly floatBytes: number;
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
const TARGET_TOKENS = 512;
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
  const pairs = cells.pairs();
  const byImage = new Map<number, number[]>();
  for (const cell of wanted) {
    const members = byImage.get(pairs[2 * cell]!);
    if (members) members.push(cell);
    else byImage.set(pairs[2 * cell]!, [cell]);
  }
  // States with many texts first: the last groups are then the short ones, and no worker waits long for another.
  const states = [...byImage.keys()].sort((a, b) => byImage.get(b)!.length - byImage.get(a)!.length || a - b);
  const batches = chooseBatches(program, settings, states.length);
  const groupSize = Math.max(1, Math.min(batches.prefix, Math.ceil(states.length / GROUPS_WANTED)));
  const groupOffsets: number[] = [0];
  const rowOffsets: number[] = [0];
  const rowSlots: number[] = [];
  const rowTexts: number[] = [];
  const rowCells: number[] = [];
  const texts = new Set<number>();
  for (let begin = 0; begin < states.length; begin += groupSize) {
    const group = states.slice(begin, begin + groupSize);
    for (const [slot, state] of group.entries()) {
      for (const cell of byImage.get(state)!) {
        rowSlots.push(slot);
        rowTexts.push(pairs[2 * cell + 1]!);
        texts.add(pairs[2 * cell + 1]!);
        rowCells.push(cell);
      }
    }
    groupOffsets.push(begin + group.length);
    rowOffsets.push(rowCells.length);
  }
  const native: NativeSchedule = {
    imagePlayers: cells.imagePlayers,
    textPlayers: cells.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.from(groupOffsets),
    groupStates: Int32Array.from(states),
    rowOffsets: Int32Array.from(rowOffsets),
    rowSlots: Int32Array.from(rowSlots),
    rowTexts: Int32Array.from(rowTexts),
    visionBatch: Math.min(batches.vision, groupSize),
    prefixBatch: Math.min(batches.prefix, groupSize),
    suffixBatch: batches.suffix,
    workers: settings.workers,
  };
  const tokens = program.tokenIds.length;
  const { prefixLength } = settings.mode;
  const plan: EvaluationPlan = {
    cells: cells.cellCount,
    cachedCells: cells.cellCount - wanted.length,
    imageStates: states.length,
    textStates: texts.size,
    prefixes: prefixLength > 0 ? states.length : 0,
    suffixes: wanted.length,
    prefixTokens: prefixLength,
    suffixTokens: tokens - prefixLength,
    groups: groupOffsets.length - 1,
    batches: { vision: native.visionBatch, prefix: native.prefixBatch, suffix: native.suffixBatch },
    flops: estimateFlops(program, prefixLength, states.length, wanted.length),
    bytes: {
      worker: batches.bytes,
      peak: batches.bytes * Math.min(settings.workers, Math.max(1, groupOffsets.length - 1)),
      budget: settings.memory,
    },
    fallbacks: settings.fallbacks,
  };
  return { plan, native, rowCells: Int32Array.from(rowCells) };
}

/** Bytes that one sequence of `tokens` after `past` cached ones takes while it runs. */
function sequenceBytes(sizes: ModelSizes, past: number, tokens: number, rows: number): number {
  const { cacheBytesPerToken, hidden, vocabulary, floatBytes } = sizes;
  // The cache given, the cache returned, and a copy that attention makes; about two dozen activations of the hidden size.
  const caches = 3 * cacheBytesPerToken * (past + tokens);
  const activations = 24 * tokens * hidden * floatBytes;
  const attention = 2 * Math.ceil(hidden / 64) * tokens * (past + tokens) * floatBytes;
  return caches + activations + attention + rows * vocabulary * floatBytes;
}

function chooseBatches(
  program: EvaluatorProgram,
  { mode, memory, shares, sizes, fallbacks }: PlanSettings,
  states: number,
): { vision: number; prefix: number; suffix: number; bytes: number } {
  const share = memory / shares;
  const tokens = program.tokenIds.length;
  const suffixTokens = tokens - mode.prefixLength;
  const allRows = !selectsRows(program);
  const prefixBytes = sequenceBytes(sizes, 0, mode.prefixLength, allRows ? mode.prefixLength : 1);
  const suffixBytes = sequenceBytes(
    sizes,
    mode.prefixLength,
    suffixTokens,
    allRows ? suffixTokens : program.targets.length,
  );
  const features = Math.max(1, program.imagePositions.length);
  // Pixels, their patch embedding, and a tower about as wide as the language model.
  const visionBytes = 8 * program.pixels.length + sequenceBytes(sizes, 0, features, 0);
  const single = fallbacks.some((fallback) => fallback.code === 'one-row-per-run');
  const fit = (perItem: number, perRun: number, most: number) =>
    Math.max(1, Math.min(Math.floor(share / 2 / perItem), Math.ceil(TARGET_TOKENS / perRun), most));
  const prefix = mode.prefixLength > 0 ? fit(prefixBytes, mode.prefixLength, states) : states;
  const suffix = mode.compact || single ? 1 : fit(suffixBytes, suffixTokens, Number.MAX_SAFE_INTEGER);
  const vision = visionBatchable(program) ? fit(visionBytes, features, states) : 1;
  const held = mode.prefixLength > 0 ? prefix * sizes.cacheBytesPerToken * mode.prefixLength : 0;
  const bytes = Math.max(vision * visionBytes, prefix * prefixBytes, suffix * suffixBytes + held);
  return { vision, prefix: Math.max(1, prefix), suffix, bytes };
}

/** Whether image states can be stacked along the first axis of every vision input. */
function visionBatchable({ vision }: EvaluatorProgram): boolean {
  return vision.inputs.every((input) => typeof input.shape[0] === 'string');
}

/** Whether the decoder computes logits for wanted rows only. */
function selectsRows({ wiring }: EvaluatorProgram): boolean {
  return wiring.keep !== undefined || wiring.rows !== undefined;
}

function estimateFlops(
  program: EvaluatorProgram,
  prefixLength: number,
  states: number,
  cells: number,
): EvaluationPlan['flops'] {
  const { costs, targets, tokenIds } = program;
  if (costs === undefined) return undefined;
  const pass = (past: number, tokens: number, rows: number) =>
    tokens * costs.tokenFlops + rows * costs.headFlops + attendedPairs(past, tokens) * costs.attentionFlops;
  const rowsOf = (tokens: number, wanted: number) => (selectsRows(program) ? wanted : tokens);
  const suffixTokens = tokenIds.length - prefixLength;
  const vision = states * costs.visionFlops;
  const prefix = prefixLength > 0 ? states * pass(0, prefixLength, rowsOf(prefixLength, 1)) : 0;
  const suffix = cells * pass(prefixLength, suffixTokens, rowsOf(suffixTokens, targets.length));
  const full = pass(0, tokenIds.length, tokenIds.length);
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
