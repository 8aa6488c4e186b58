import { remember } from '../lease.js';
import type { Fallback } from './plan.js';
import type { EvaluationPath, EvaluatorProgram, ProgramMode } from './program.js';
import type { Session } from './session.js';
import { ALONE, Reference, trialCells } from './trial.js';

/** What of a program the provider's memory takes. */
interface DeviceVerdict {
  readonly mode: Pick<ProgramMode, 'onDevice' | 'deviceKernels'>;
  readonly fallbacks: readonly Fallback[];
}

/** By the graph that joins caches, which belongs to one loaded model. */
const verdicts = new WeakMap<Session, Promise<DeviceVerdict>>();

/** Adds to a path what the provider's memory takes, tried once per loaded model. */
export async function chooseDevice(
  program: EvaluatorProgram,
  join: Session,
  path: EvaluationPath,
  signal: AbortSignal | undefined,
): Promise<EvaluationPath> {
  const single = path.fallbacks.some(({ code }) => code === 'one-row-per-run' || code === 'tokens-left-out');
  const { mode, fallbacks } = await remember(verdicts, join, () =>
    probeDevice(program, path.mode, single ? 1 : 2, signal),
  );
  return { mode: { ...path.mode, ...mode }, fallbacks: [...path.fallbacks, ...fallbacks] };
}

/** Tries caches, and pixels and logits where the plugin may reach them, in the provider's memory. */
async function probeDevice(
  program: EvaluatorProgram,
  shared: ProgramMode,
  batch: number,
  signal: AbortSignal | undefined,
): Promise<DeviceVerdict> {
  const batches = { ...ALONE, suffix: batch };
  const host = new Reference(program, shared, trialCells(program, 2, 2), batches, signal);
  const problemOf = (mode: DeviceVerdict['mode']) => host.problemOf({ ...shared, ...mode }, batches);
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
