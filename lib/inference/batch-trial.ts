import { FsynError } from '../errors.js';
import { remember } from '../lease.js';
import type { Fallback } from './plan.js';
import type { EvaluatorProgram, ProgramMode } from './program.js';
import type { Session } from './session.js';
import { ALONE, Reference, type TrialBatches, trialCells } from './trial.js';

/**
 * What is run together: image states in the vision graph, prefixes or the sequences that continue them in the
 * decoder.
 */
export type BatchKind = 'vision' | 'prefix' | 'suffix';

/** By loaded graph, then by kind, size, mode and geometry. */
const verdicts = new WeakMap<Session, Map<string, Promise<Fallback | undefined>>>();

const OUTCOMES: Readonly<Record<BatchKind, { code: Fallback['code']; what: string; instead: string }>> = {
  vision: {
    code: 'one-image-per-run',
    what: 'image states are encoded together',
    instead: 'they are encoded one by one',
  },
  prefix: {
    code: 'one-prefix-per-run',
    what: 'prefixes are run together',
    instead: 'they are run one by one',
  },
  suffix: {
    code: 'one-row-per-run',
    what: 'sequences are run together',
    instead: 'one sequence per run',
  },
};

/**
 * Tries whether a graph computes for each of several different items what it computes for it alone, at two
 * and at the wanted number, once per loaded graph, mode, geometry and number. That its inputs have an open
 * first axis says nothing: vision towers that take images as lists of patches attend across them, unless they
 * were exported to keep them apart.
 *
 * @param size how many will be run together, >= 2
 * @param group how many image states may be in work at the same time
 * @returns what happens instead; undefined where they may be run together
 */
export async function batchFallback(
  program: EvaluatorProgram,
  mode: ProgramMode,
  kind: BatchKind,
  { size, group }: { readonly size: number; readonly group: number },
  signal?: AbortSignal,
): Promise<Fallback | undefined> {
  const session = kind === 'vision' ? program.vision : program.decoder;
  const known = verdicts.get(session) ?? new Map<string, Promise<Fallback | undefined>>();
  verdicts.set(session, known);
  for (const count of new Set([2, size])) {
    const geometry = kind === 'vision' ? geometryOf(program) : '';
    const key = [kind, count, modeKey(program, mode), geometry].join(' ');
    // A trial that failed (for want of memory, or aborted) says nothing about the graph, and is forgotten.
    const found = await remember(known, key, () => tryTogether(program, mode, kind, count, group, signal));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function tryTogether(
  program: EvaluatorProgram,
  mode: ProgramMode,
  kind: BatchKind,
  size: number,
  group: number,
  signal: AbortSignal | undefined,
): Promise<Fallback | undefined> {
  const { code, what, instead } = OUTCOMES[kind];
  if (kind === 'vision' && program.vision.inputs.some(({ shape }) => typeof shape[0] !== 'string')) {
    return { code, reason: `The vision graph is exported for one image: ${instead}.` };
  }
  const cells = kind === 'suffix' ? trialCells(program, 2, 2) : trialCells(program, size, 1);
  const batches: TrialBatches = { ...ALONE, group: Math.min(group, cells.imageStateCount), [kind]: size };
  const problem = await new Reference(program, mode, cells, ALONE, signal).problemOf(mode, batches);
  if (problem === undefined) return undefined;
  return { code, reason: `When ${size} ${what}, ${problem}: ${instead}.` };
}

function geometryOf({ pixelInput, pixelShape, visionFeeds }: EvaluatorProgram): string {
  const others = Object.entries(visionFeeds).filter(([name]) => name !== pixelInput);
  return [pixelShape.join(), ...others.map(([name, { data }]) => `${name} ${data}`)].join(' ');
}

function modeKey({ textMasking }: EvaluatorProgram, { prefixLength, ...mode }: ProgramMode): string {
  return JSON.stringify([textMasking, prefixLength > 0, mode]);
}

/** What a trial whose plain passes fail is worth: nothing is believed, and the next sample tries again. */
export function untried(error: unknown, instead: string): Fallback {
  if (!(error instanceof FsynError) || error.code !== 'INFERENCE') throw error;
  const reason = `Nothing can be tried, because the plain passes of the trial fail (${error.message}): ${instead}.`;
  return { code: 'untried', reason };
}
