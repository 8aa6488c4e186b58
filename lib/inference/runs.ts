import type { EvaluatorProgram, ProgramMode } from './program.js';

/** What a run of suffixes costs beside its tokens, in tokens of the same decoder. */
export interface RunCosts {
  /** Of every run: starting its operators and reading the weights for few rows. */
  readonly run: number;
  /** Of every sequence that shares a run: a copy of its prefix's cache. */
  readonly copy: number;
}

/** Tokens at which a run of a CPU takes twice the time that its tokens would take in a long one. */
const WEIGHTS_TOKENS = 12;
/** The same where weights are read from the memory of a device with many more units. */
const DEVICE_TOKENS = 256;
/** Operations that fit into the time that starting a decoder's operators takes. */
const START_FLOPS = 5e7;
/** Operations that fit into the time in which a byte is copied to memory that has not been touched before. */
const FLOPS_PER_COPIED_BYTE = 30;

/**
 * Measured on decoders of 20 and 110 M weights with 581 cached tokens (bench/micro/evaluator.ts); they only
 * choose, and change no value.
 */
export function runCosts(
  program: EvaluatorProgram,
  prefixLength: number,
  cacheBytesPerToken: number,
): RunCosts {
  const { costs, deviceCaches } = program;
  if (deviceCaches !== undefined || costs === undefined) return { run: DEVICE_TOKENS, copy: 0 };
  const copied = cacheBytesPerToken * prefixLength * FLOPS_PER_COPIED_BYTE;
  const tokenFlops = Math.max(1, costs.tokenFlops);
  return { run: WEIGHTS_TOKENS + START_FLOPS / tokenFlops, copy: copied / tokenFlops };
}

/** Tokens that a text state (a row of presence bytes) adds to the prefix. */
export function ownTokens(program: EvaluatorProgram, mode: ProgramMode, state: Uint8Array): number {
  const own = program.tokenIds.length - mode.prefixLength;
  if (!mode.compact || program.textMasking !== 'remove') return own;
  return state.reduce((count, present) => count - (present === 0 ? 1 : 0), own);
}

/**
 * Cuts sequences into runs so that the whole costs least: the shorter ones of a run are padded to its
 * longest.
 *
 * @param lengths tokens of each sequence, longest first
 * @param limits most sequences in one run, and most tokens as long as there are two sequences
 * @returns how many sequences each run has; of equal costs, the earliest runs are as long as they can be
 */
export function cutRuns(
  lengths: readonly number[],
  costs: RunCosts,
  limits: { readonly rows: number; readonly tokens: number },
): number[] {
  const count = lengths.length;
  // Least cost of the sequences from i on, and the length of the first run that reaches it.
  const least = new Float64Array(count + 1);
  // One sequence per run where no cost is lower than another, which only costs that are not finite do.
  const first = new Int32Array(count).fill(1);
  for (let i = count - 1; i >= 0; i--) {
    const longest = lengths[i];
    const fitting = Math.ceil(limits.tokens / Math.max(1, longest));
    const most = Math.max(1, Math.min(limits.rows, fitting, count - i));
    least[i] = Number.POSITIVE_INFINITY;
    for (let rows = most; rows >= 1; rows--) {
      const copies = rows > 1 ? rows * costs.copy : 0;
      const cost = costs.run + rows * longest + copies + least[i + rows];
      if (cost < least[i]) {
        least[i] = cost;
        first[i] = rows;
      }
    }
  }
  const runs: number[] = [];
  for (let i = 0; i < count; i += runs.at(-1)!) runs.push(first[i]);
  return runs;
}
