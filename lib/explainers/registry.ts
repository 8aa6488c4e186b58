import { FsynError } from '../errors.js';
import { attnLrp } from './attn-lrp.js';
import { gradCam } from './grad-cam.js';
import { gradRollout } from './grad-rollout.js';
import { inputXGradient } from './input-x-gradient.js';
import { integratedGradients } from './integrated-gradients.js';
import { llavaCam } from './llava-cam.js';
import { occlusion } from './occlusion.js';
import { antiOracle, oracle } from './oracle.js';
import { random } from './random.js';
import { rollout } from './rollout.js';
import { shapley } from './shapley.js';
import { tam } from './tam.js';
import type { Explainer } from './types.js';

/** Every explainer that fsyn ships, in the order of tables. */
export const explainers: readonly Explainer[] = [
  oracle,
  antiOracle,
  random,
  occlusion,
  inputXGradient(),
  integratedGradients(),
  gradCam(),
  llavaCam(),
  rollout,
  gradRollout,
  attnLrp(),
  tam,
  shapley(),
];

/**
 * The signed gradient methods with the parameters of the published code: of the log-probability, measured
 * from zeros; Integrated Gradients on the joint path from the mean colour in 5 steps; AttnLRP by the epsilon
 * rule throughout.
 */
const published: ReadonlyMap<string, Explainer> = new Map(
  [
    inputXGradient({ target: 'log-probability', reference: 'zero' }),
    integratedGradients({ target: 'log-probability', path: 'joint', imageBaseline: 'mean', steps: 5 }),
    attnLrp({ target: 'log-probability', reference: 'zero', visionGamma: { linear: 0 } }),
  ].map((explainer) => [explainer.name, explainer]),
);

/**
 * The same explainers, registered ones with published parameters where ours differ: what `--compat reference`
 * runs.
 */
export function asPublished(chosen: readonly Explainer[]): Explainer[] {
  return chosen.map((explainer) =>
    explainers.includes(explainer) ? (published.get(explainer.name) ?? explainer) : explainer,
  );
}

/**
 * Finds explainers by name.
 *
 * @throws FsynError INVALID_ARGUMENT with the known names for an unknown one or a repeated one
 */
export function findExplainers(names: readonly string[]): Explainer[] {
  const known = explainers.map((explainer) => explainer.name).join(', ');
  return names.map((name, i) => {
    const found = explainers.find((explainer) => explainer.name === name);
    if (!found)
      throw new FsynError(
        'INVALID_ARGUMENT',
        `Unknown explainer ${JSON.stringify(name)}; known explainers: ${known}.`,
      );
    if (names.indexOf(name) !== i)
      throw new FsynError('INVALID_ARGUMENT', `Explainer ${JSON.stringify(name)} is named twice.`);
    return found;
  });
}

/**
 * Explainers by name, or for the single name `all` all candidates but those that are asked for by name only.
 */
export function selectExplainers(
  names: readonly string[],
  candidates: readonly Explainer[] = explainers,
): Explainer[] {
  if (names.length !== 1 || names[0] !== 'all') return findExplainers(names);
  return candidates.filter(({ byNameOnly }) => !byNameOnly);
}
