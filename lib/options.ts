import { describe, FsynError } from './errors.js';

/**
 * Merges an options object with its defaults, once, at a function's edge.
 * `undefined` takes the default; a key that the defaults do not have is an error, so that a misspelt option
 * is never ignored.
 *
 * @param owner name of the called function, for the message
 * @param defaults every accepted key with its default
 * @param given what the caller passed
 */
export function resolveOptions<T extends object>(
  owner: string,
  defaults: T,
  given: Partial<T> | undefined,
): T {
  if (given === undefined) return defaults;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Expected an options object for ${owner} but received ${describe(given)}.`,
    );
  }
  const merged = { ...defaults };
  for (const [key, value] of Object.entries(given)) {
    if (!(key in defaults)) {
      const known = Object.keys(defaults).join(', ');
      throw new FsynError(
        'INVALID_ARGUMENT',
        `Unknown option ${JSON.stringify(key)} for ${owner}; known options: ${known}.`,
      );
    }
    if (value !== undefined) merged[key as keyof T] = value as T[keyof T];
  }
  return merged;
}
