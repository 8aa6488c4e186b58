import { FsynError } from '../errors.js';
import { CellTable } from '../metrics/cells.js';
import { addon } from './addon.js';
import { runJob } from './job.js';
import type { Fallback } from './plan.js';
import {
  createNativeProgram,
  type EvaluatorProgram,
  type ProgramMode,
  sharedPrefixLength,
} from './program.js';
import type { Session } from './session.js';

export interface EvaluationPath {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
}

/** What a decoder does with a prefix that was run before, found out by trying. */
interface Verdict {
  readonly sharing: boolean;
  readonly fallbacks: readonly Fallback[];
}

// Apart for programs that leave removed tokens out: their rows are never run together.
const verdicts = {
  masked: new WeakMap<Session, Promise<Verdict>>(),
  leftOut: new WeakMap<Session, Promise<Verdict>>(),
};

/** By the graph that joins caches, which belongs to one loaded model. */
const deviceProblems = new WeakMap<Session, Promise<string | undefined>>();

/**
 * Chooses how the cells of a program are run. What the graph's inputs do not tell is tried once per decoder: two cells of
 * the sample are run on a shared prefix, together and alone, and compared with their full passes.
 */
export async function choosePath(program: EvaluatorProgram, signal?: AbortSignal): Promise<EvaluationPath> {
  const compact = leavesOut(program);
  const full: ProgramMode = { prefixLength: 0, compact };
  if (program.wiring.caches.length === 0) {
    return {
      mode: full,
      fallbacks: [
        { code: 'no-cache', reason: 'The decoder takes no key/value cache: every cell is a full pass.' },
      ],
    };
  }
  const prefixLength = sharedPrefixLength(program);
  if (prefixLength === 0) {
    return {
      mode: full,
      fallbacks: [
        {
          code: 'nothing-shared',
          reason: 'The first token is a text player: no prefix is common to all cells.',
        },
      ],
    };
  }
  const known = compact ? verdicts.leftOut : verdicts.masked;
  let verdict = known.get(program.decoder);
  if (verdict === undefined) {
    verdict = probe(program, prefixLength, signal);
    known.set(program.decoder, verdict);
    // A probe that failed (for want of memory, or aborted) says nothing about the decoder.
    verdict.catch(() => known.delete(program.decoder));
  }
  const { sharing, fallbacks } = await verdict;
  if (!sharing) return { mode: full, fallbacks };
  const shared = { prefixLength, compact };
  if (program.deviceCaches === undefined) return { mode: shared, fallbacks };
  const { join } = program.deviceCaches;
  let problem = deviceProblems.get(join);
  if (problem === undefined) {
    const batch = fallbacks.length > 0 ? 1 : 2;
    problem = probeDevice(program, shared, batch, signal);
    deviceProblems.set(join, problem);
    problem.catch(() => deviceProblems.delete(join));
  }
  const reason = await problem;
  if (reason === undefined) return { mode: { ...shared, onDevice: true }, fallbacks };
  return { mode: shared, fallbacks: [...fallbacks, { code: 'caches-on-host', reason }] };
}

/** Why caches cannot stay in the provider's memory, found out by trying; undefined where they can. */
async function probeDevice(
  program: EvaluatorProgram,
  shared: ProgramMode,
  batch: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const host = await score(program, shared, batch, signal);
  try {
    const apart = distance(host, await score(program, { ...shared, onDevice: true }, batch, signal));
    if (apart <= roundingOf(program)) return undefined;
    return `Scores on caches in the provider's memory differ by ${apart.toExponential(1)}: caches go through the host.`;
  } catch (error) {
    if (!(error instanceof FsynError)) throw error;
    return `The provider's memory cannot hold caches (${error.message}): they go through the host.`;
  }
}

/** Whether the cells of a program differ in length because removed tokens are left out. */
export function leavesOut(program: EvaluatorProgram): boolean {
  return program.leaveOut === true && program.textMasking === 'remove';
}

async function probe(
  program: EvaluatorProgram,
  prefixLength: number,
  signal?: AbortSignal,
): Promise<Verdict> {
  const compact = leavesOut(program);
  const full = await score(program, { prefixLength: 0, compact }, 1, signal);
  const shared = { prefixLength, compact };
  const alone = await score(program, shared, 1, signal);
  const tolerance = roundingOf(program);
  const apart = distance(full, alone);
  if (!(apart <= tolerance)) {
    const reason = `Scores on a shared prefix differ from full passes by ${apart.toExponential(1)}: earlier tokens depend on later ones. Every cell is a full pass.`;
    return { sharing: false, fallbacks: [{ code: 'prefix-not-causal', reason }] };
  }
  if (compact) {
    const reason =
      'The decoder overlooks holes in its mask: removed tokens are left out, one sequence per run.';
    return { sharing: true, fallbacks: [{ code: 'tokens-left-out', reason }] };
  }
  try {
    const together = await score(program, shared, 2, signal);
    if (distance(full, together) <= tolerance) return { sharing: true, fallbacks: [] };
    const reason =
      'The decoder gives other scores when several sequences continue a prefix: one sequence per run.';
    return { sharing: true, fallbacks: [{ code: 'one-row-per-run', reason }] };
  } catch (error) {
    if (!(error instanceof FsynError) || error.code !== 'INFERENCE') throw error;
    const reason = `The decoder refuses several sequences on a prefix (${error.message}): one sequence per run.`;
    return { sharing: true, fallbacks: [{ code: 'one-row-per-run', reason }] };
  }
}

/** Scores of two cells: everything present, and every second text player present. */
async function score(
  program: EvaluatorProgram,
  mode: ProgramMode,
  batch: number,
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  const cells = new CellTable(program.imagePlayers, program.textPlayers);
  const image = cells.imageState(new Uint8Array(program.imagePlayers).fill(1));
  cells.cell(image, cells.textState(new Uint8Array(program.textPlayers).fill(1)));
  cells.cell(image, cells.textState(Array.from({ length: program.textPlayers }, (_, p) => p % 2)));
  const native = createNativeProgram(program, mode);
  const schedule = {
    imagePlayers: program.imagePlayers,
    textPlayers: program.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.of(0, 1),
    groupStates: Int32Array.of(0),
    rowOffsets: Int32Array.of(0, 2),
    rowSlots: Int32Array.of(0, 0),
    rowTexts: Int32Array.of(0, cells.textStateCount - 1),
    visionBatch: 1,
    prefixBatch: 1,
    suffixBatch: batch,
    workers: 1,
  };
  const result = await runJob(() => addon().evaluateCoalitions(native, schedule), signal);
  if (result.failure !== undefined) throw result.failure;
  return result.logProbabilities;
}

function distance(a: Float64Array, b: Float64Array): number {
  return a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);
}

/** How far the same arithmetic in another order may land: float32 log-probabilities agree to 1e-5, half ones to 1e-2. */
function roundingOf({ decoder, wiring }: EvaluatorProgram): number {
  const half =
    decoder.inputs.some((input) => input.elementType === 'float16') ||
    decoder.outputs.some((output) => output.name === wiring.logits && output.elementType === 'float16');
  return half ? 2e-2 : 1e-4;
}
