import { FsynError } from '../errors.js';
import { remember } from '../lease.js';
import type { Fallback } from './plan.js';
import { type EvaluatorProgram, type ProgramMode, sharedPrefixLength } from './program.js';
import type { Session } from './session.js';
import { ALONE, Reference, type TrialBatches, trialCells } from './trial.js';

export interface EvaluationPath {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
}

/** What a decoder does with a prefix that was run before, found out by trying. */
interface Verdict {
  readonly sharing: boolean;
  /** Whether removed tokens need not be run. */
  readonly drops: boolean;
  readonly fallbacks: readonly Fallback[];
}

/**
 * What becomes of removed tokens: masked in place; masked, so that they may as well be left out; or left out because masks
 * are overlooked. A decoder is tried once for each.
 */
type Removal = 'keep' | 'may-drop' | 'must-drop';

const verdicts: Readonly<Record<Removal, WeakMap<Session, Promise<Verdict>>>> = {
  keep: new WeakMap(),
  'may-drop': new WeakMap(),
  'must-drop': new WeakMap(),
};

/** By the graph that joins caches, which belongs to one loaded model. */
const deviceVerdicts = new WeakMap<Session, Promise<DeviceVerdict>>();

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
  const removal = removalOf(program);
  // A probe that failed (for want of memory, or aborted) says nothing about the decoder, and is forgotten.
  const {
    sharing,
    drops,
    fallbacks: found,
  } = await remember(verdicts[removal], program.decoder, () => probe(program, prefixLength, removal, signal));
  if (!sharing) return { mode: full, fallbacks: found };
  const reason = removal === 'keep' ? keepReason(program) : undefined;
  const fallbacks = reason === undefined ? found : [...found, { code: 'tokens-kept', reason } as const];
  const shared: ProgramMode = { prefixLength, compact: drops, padded: drops && !compact };
  if (program.deviceCaches === undefined) return { mode: shared, fallbacks };
  const { join } = program.deviceCaches;
  const batch = fallbacks.some(({ code }) => code !== 'tokens-kept') ? 1 : 2;
  const { mode, fallbacks: onHost } = await remember(deviceVerdicts, join, () =>
    probeDevice(program, shared, batch, signal),
  );
  return { mode: { ...shared, ...mode }, fallbacks: [...fallbacks, ...onHost] };
}

/** What of a program the provider's memory takes. */
interface DeviceVerdict {
  readonly mode: Pick<ProgramMode, 'onDevice' | 'deviceKernels'>;
  readonly fallbacks: readonly Fallback[];
}

/** Tries caches, and pixels and logits where the plugin may reach them, in the provider's memory. */
async function probeDevice(
  program: EvaluatorProgram,
  shared: ProgramMode,
  batch: number,
  signal: AbortSignal | undefined,
): Promise<DeviceVerdict> {
  const batches = together(batch);
  const host = new Reference(program, shared, twoTexts(program), batches, signal);
  const problemOf = async (mode: DeviceVerdict['mode']): Promise<string | undefined> => {
    try {
      const apart = await host.distanceOf({ ...shared, ...mode }, batches);
      return (await host.mayBeRounding(apart)) ? undefined : `scores differ by ${apart.toExponential(1)}`;
    } catch (error) {
      if (!(error instanceof FsynError)) throw error;
      return error.message;
    }
  };
  const caches = { onDevice: true };
  const problem = await problemOf(caches);
  if (problem !== undefined) {
    const reason = `Caches cannot stay in the provider's memory (${problem}): they go through the host.`;
    return { mode: {}, fallbacks: [{ code: 'caches-on-host', reason }] };
  }
  if (program.deviceCaches?.kernels !== true) return { mode: caches, fallbacks: [] };
  const both = { ...caches, deviceKernels: true };
  const unable = await problemOf(both);
  if (unable === undefined) return { mode: both, fallbacks: [] };
  const reason = `Pixels and logits cannot stay in the provider's memory (${unable}): the host masks and scores.`;
  return { mode: caches, fallbacks: [{ code: 'kernels-on-host', reason }] };
}

/** Whether the cells of a program differ in length because removed tokens are left out. */
export function leavesOut(program: EvaluatorProgram): boolean {
  return program.leaveOut === true && program.textMasking === 'remove';
}

function removalOf(program: EvaluatorProgram): Removal {
  if (leavesOut(program)) return 'must-drop';
  return program.textMasking === 'remove' && keepReason(program) === undefined ? 'may-drop' : 'keep';
}

/** Why removed tokens must be run and masked although nothing attends to them; undefined where they need not, or stay attended. */
function keepReason({
  textMasking,
  wiring,
  attentionWindow,
  tokenIds,
}: EvaluatorProgram): string | undefined {
  if (textMasking !== 'remove') return undefined;
  if (wiring.positions === undefined) {
    return 'The decoder takes no position_ids, so that tokens behind removed ones need them in place: they are run and masked.';
  }
  if (attentionWindow !== undefined && attentionWindow < tokenIds.length) {
    return `Each token attends to the last ${attentionWindow}, which removed ones belong to: they are run and masked.`;
  }
  return undefined;
}

async function probe(
  program: EvaluatorProgram,
  prefixLength: number,
  removal: Removal,
  signal?: AbortSignal,
): Promise<Verdict> {
  const compact = removal === 'must-drop';
  const full = new Reference(program, { prefixLength: 0, compact }, twoTexts(program), ALONE, signal);
  const fallbacks: Fallback[] = [];
  let shared: ProgramMode = { prefixLength, compact: removal !== 'keep', padded: removal === 'may-drop' };
  let apart = await full.distanceOf(shared, ALONE);
  if (removal === 'may-drop' && !(await full.mayBeRounding(apart))) {
    const reason = `Scores differ by ${apart.toExponential(1)} when removed tokens are left out: they are run and masked.`;
    fallbacks.push({ code: 'tokens-kept', reason });
    shared = { prefixLength, compact };
    apart = await full.distanceOf(shared, ALONE);
  }
  if (!(await full.mayBeRounding(apart))) {
    const reason = `Scores on a shared prefix differ from full passes by ${apart.toExponential(1)}: earlier tokens depend on later ones. Every cell is a full pass.`;
    return { sharing: false, drops: false, fallbacks: [{ code: 'prefix-not-causal', reason }] };
  }
  const drops = shared.compact;
  if (compact) {
    const reason =
      'The decoder overlooks holes in its mask: removed tokens are left out, one sequence per run.';
    return { sharing: true, drops, fallbacks: [{ code: 'tokens-left-out', reason }] };
  }
  const problem = await togetherProblem(full, shared);
  if (problem !== undefined) fallbacks.push({ code: 'one-row-per-run', reason: problem });
  return { sharing: true, drops, fallbacks };
}

/** Why sequences that continue a prefix cannot be run together; undefined where they can. */
async function togetherProblem(full: Reference, shared: ProgramMode): Promise<string | undefined> {
  try {
    if (await full.mayBeRounding(await full.distanceOf(shared, together(2)))) return undefined;
    return 'The decoder gives other scores when several sequences continue a prefix: one sequence per run.';
  } catch (error) {
    if (!(error instanceof FsynError) || error.code !== 'INFERENCE') throw error;
    return `The decoder refuses several sequences on a prefix (${error.message}): one sequence per run.`;
  }
}

/** Two text states on one image state. */
const twoTexts = (program: EvaluatorProgram) => trialCells(program, 1, 2);

const together = (sequences: number): TrialBatches => ({ ...ALONE, suffix: sequences });
