import { FsynError } from '../errors.js';
import { suggestion } from '../suggestion.js';
import { atman } from './atman.js';
import { attnLrp } from './attn-lrp.js';
import { fixlip } from './fixlip.js';
import { gradCam } from './grad-cam.js';
import { gradRollout } from './grad-rollout.js';
import { inputXGradient } from './input-x-gradient.js';
import { integratedGradients } from './integrated-gradients.js';
import { llavaCam } from './llava-cam.js';
import { occlusion } from './occlusion.js';
import { antiOracle, mismatch, oracle } from './oracle.js';
import { random } from './random.js';
import { rollout } from './rollout.js';
import { shapley } from './shapley.js';
import { tam } from './tam.js';
import type { Explainer } from './types.js';

/** Every explainer that fsyn ships, in the order of tables. */
export const explainers: readonly Explainer[] = [
  oracle,
  antiOracle,
  mismatch,
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
  fixlip(),
  atman,
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
 * Finds explainers by name, or by the title that tables print: `attn-lrp`, `AttnLRP`, `Input x Gradient`.
 *
 * @throws FsynError INVALID_ARGUMENT with the known names for an unknown one or a repeated one
 */
export function findExplainers(names: readonly string[]): Explainer[] {
  const known = explainers.map((explainer) => explainer.name);
  const found = names.map((name) => {
    const match = explainers.find((explainer) => isCalled(explainer, name));
    if (match) return match;
    const near = suggestion(name, [...known, ...explainers.map(({ title }) => title)]);
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Unknown explainer ${JSON.stringify(name)}${near || '.'} Known explainers: ${known.join(', ')}.`,
    );
  });
  const repeated = found.find((explainer, i) => found.indexOf(explainer) !== i);
  if (repeated)
    throw new FsynError('INVALID_ARGUMENT', `Explainer ${JSON.stringify(repeated.name)} is named twice.`);
  return found;
}

/** Names are compared as they are heard: case, blanks and dashes aside. */
function isCalled({ name, title }: Explainer, given: string): boolean {
  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  return given === name || [name, title].some((own) => plain(own) === plain(given) && plain(given) !== '');
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
