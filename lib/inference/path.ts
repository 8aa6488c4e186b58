import { remember } from '../lease.js';
import { batchFallback, untried } from './batch-trial.js';
import { chooseDevice } from './device-trial.js';
import { type Fallback, fellBack } from './plan.js';
import {
  type EvaluationPath,
  type EvaluatorProgram,
  type ProgramMode,
  sharedPrefixLength,
} from './program.js';
import type { Session } from './session.js';
import { ALONE, Reference, trialCells } from './trial.js';

/** What a decoder does with a prefix that was run before, found out by trying. */
interface Verdict {
  readonly sharing: boolean;
  /** Whether removed tokens need not be run. */
  readonly drops: boolean;
  readonly fallbacks: readonly Fallback[];
}

/**
 * What becomes of removed tokens: masked in place; masked, so that they may as well be left out; or left out
 * because masks are overlooked. A decoder is tried once for each.
 */
type Removal = 'keep' | 'may-drop' | 'must-drop';

const verdicts: Readonly<Record<Removal, WeakMap<Session, Promise<Verdict>>>> = {
  keep: new WeakMap(),
  'may-drop': new WeakMap(),
  'must-drop': new WeakMap(),
};

/**
 * Chooses how the cells of a program are run. What the graph's inputs do not tell is tried once per decoder:
 * cells of two image and two text states are run on shared prefixes, without their removed tokens, and
 * compared with their full passes.
 */
export async function choosePath(program: EvaluatorProgram, signal?: AbortSignal): Promise<EvaluationPath> {
  const full = fullPath(program);
  if (fellBack(full.fallbacks, 'activations-quantized')) return full;
  const instead = (...fallbacks: Fallback[]) => ({ ...full, fallbacks: [...full.fallbacks, ...fallbacks] });
  if (program.wiring.caches.length === 0) {
    const reason = 'The decoder takes no key/value cache: every cell is a full pass.';
    return instead({ code: 'no-cache', reason });
  }
  const prefixLength = sharedPrefixLength(program);
  if (prefixLength === 0) {
    const reason = 'The first token is a text player: no prefix is common to all cells.';
    return instead({ code: 'nothing-shared', reason });
  }
  const removal = removalOf(program);
  let verdict: Verdict;
  try {
    verdict = await remember(verdicts[removal], program.decoder, () =>
      probe(program, prefixLength, removal, signal),
    );
  } catch (error) {
    return instead(untried(error, 'every cell is a full pass'));
  }
  const { sharing, drops, fallbacks: found } = verdict;
  if (!sharing) return instead(...found);
  const reason = removal === 'keep' ? keepReason(program) : undefined;
  const kept: Fallback[] = reason === undefined ? [] : [{ code: 'tokens-kept', reason }];
  const shared: ProgramMode = { prefixLength, compact: drops, padded: drops && !full.mode.compact };
  const path = { mode: shared, fallbacks: [...full.fallbacks, ...found, ...kept] };
  return program.deviceCaches === undefined
    ? path
    : chooseDevice(program, program.deviceCaches.join, path, signal);
}

/** Every cell as a full pass, and what is known of the graphs before anything is tried. */
export function fullPath(program: EvaluatorProgram): EvaluationPath {
  const compact = leavesOut(program);
  const reason =
    'The decoder overlooks holes in its mask: removed tokens are left out, one sequence per run.';
  const left: Fallback[] = compact ? [{ code: 'tokens-left-out', reason }] : [];
  return { mode: { prefixLength: 0, compact }, fallbacks: [...(program.fallbacks ?? []), ...left] };
}

/** Whether the cells of a program differ in length because removed tokens are left out. */
function leavesOut(program: EvaluatorProgram): boolean {
  return program.leaveOut === true && program.textMasking === 'remove';
}

function removalOf(program: EvaluatorProgram): Removal {
  if (leavesOut(program)) return 'must-drop';
  return program.textMasking === 'remove' && keepReason(program) === undefined ? 'may-drop' : 'keep';
}

/**
 * Why removed tokens must be run and masked although nothing attends to them; undefined where they need not,
 * or stay attended.
 */
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
  const full = new Reference(program, { prefixLength: 0, compact }, trialCells(program, 2, 2), ALONE, signal);
  const fallbacks: Fallback[] = [];
  let shared: ProgramMode = { prefixLength, compact: removal !== 'keep', padded: removal === 'may-drop' };
  let problem = await full.problemOf(shared, ALONE);
  if (removal === 'may-drop' && problem !== undefined) {
    const reason = `Where removed tokens are left out, ${problem}: they are run and masked.`;
    fallbacks.push({ code: 'tokens-kept', reason });
    shared = { prefixLength, compact };
    problem = await full.problemOf(shared, ALONE);
  }
  if (problem !== undefined) {
    const reason = `On a shared prefix ${problem} from full passes: earlier tokens depend on later ones. Every cell is a full pass.`;
    return { sharing: false, drops: false, fallbacks: [{ code: 'prefix-not-causal', reason }] };
  }
  const drops = shared.compact;
  if (compact) return { sharing: true, drops, fallbacks };
  const apart = await batchFallback(program, shared, 'suffix', { size: 2, group: 1 }, signal);
  return { sharing: true, drops, fallbacks: apart === undefined ? fallbacks : [...fallbacks, apart] };
}
