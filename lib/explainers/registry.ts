import { FsynError } from '../errors.js';
import { inputXGradient } from './input-x-gradient.js';
import { occlusion } from './occlusion.js';
import { antiOracle, oracle } from './oracle.js';
import { random } from './random.js';
import type { Explainer } from './types.js';

/** Every explainer that fsyn ships, in the order of tables. */
export const explainers: readonly Explainer[] = [oracle, antiOracle, random, occlusion, inputXGradient];

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
