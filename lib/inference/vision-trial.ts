import { FsynError } from '../errors.js';
import { remember } from '../lease.js';
import type { EvaluatorProgram, ProgramMode } from './program.js';
import type { Session } from './session.js';
import { ALONE, Reference, trialCells } from './trial.js';

/** Why a graph cannot encode several image states at once, undefined where it can; by size and inputs but the pixels. */
const verdicts = new WeakMap<Session, Map<string, Promise<string | undefined>>>();

/**
 * Tries whether a vision graph gives each of `batch` different image states the features that it gives it alone, once per
 * loaded graph, geometry and size. That its inputs have an open first axis says nothing: towers that take images as lists of
 * patches attend across them, unless they were exported to keep them apart.
 *
 * @returns why not; undefined where the scores agree
 */
export async function visionProblem(
  program: EvaluatorProgram,
  mode: ProgramMode,
  batch: number,
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (program.vision.inputs.some(({ shape }) => typeof shape[0] !== 'string')) {
    return 'The vision graph is exported for one image: image states are encoded one by one.';
  }
  const known = verdicts.get(program.vision) ?? new Map<string, Promise<string | undefined>>();
  verdicts.set(program.vision, known);
  const key = `${batch} of ${geometryOf(program)}`;
  // A trial that failed (for want of memory, or aborted) says nothing about the graph, and is forgotten.
  return remember(known, key, () => tryBatch(program, mode, batch, signal));
}

function geometryOf({ pixelInput, pixelShape, visionFeeds }: EvaluatorProgram): string {
  const others = Object.entries(visionFeeds).filter(([name]) => name !== pixelInput);
  return [pixelShape.join(), ...others.map(([name, { data }]) => `${name} ${data}`)].join(' ');
}

async function tryBatch(
  program: EvaluatorProgram,
  mode: ProgramMode,
  batch: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const alone = new Reference(program, mode, trialCells(program, batch, 1), ALONE, signal);
  try {
    const apart = await alone.distanceOf(mode, { ...ALONE, vision: batch, group: batch });
    if (await alone.mayBeRounding(apart)) return undefined;
    return `Scores differ by ${apart.toExponential(1)} when ${batch} image states are encoded together: they are encoded one by one.`;
  } catch (error) {
    if (!(error instanceof FsynError) || !['INFERENCE', 'MODEL_CONTRACT'].includes(error.code)) throw error;
    return `The vision graph refuses ${batch} image states at once (${error.message}): they are encoded one by one.`;
  }
}
