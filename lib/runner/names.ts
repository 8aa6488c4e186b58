import { FsynError } from '../errors.js';

/**
 * Results tell models, datasets and explainers apart by name alone, so two of one name cannot be measured
 * together.
 *
 * @throws FsynError INVALID_ARGUMENT naming the first name that comes twice
 */
export function refuseRepeated(
  kind: 'models' | 'datasets' | 'explainers',
  named: readonly { readonly name: string }[],
): void {
  const names = named.map(({ name }) => name);
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated === undefined) return;
  const remedy =
    kind === 'explainers' ? 'Name each once.' : `Give them names of their own: first=PATH and second=PATH.`;
  throw new FsynError(
    'INVALID_ARGUMENT',
    `Two of the ${kind} are called ${JSON.stringify(repeated)}, so their results could not be told apart. ${remedy}`,
  );
}
