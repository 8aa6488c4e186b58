import type { Dataset } from './types.js';

/** One dataset made of others, in the given order; the version names every part's. */
export function concatenate(name: string, parts: readonly Dataset[]): Dataset {
  const [first] = parts;
  return {
    name,
    version: parts.map((part) => part.version).join('|'),
    size: parts.reduce((sum, part) => sum + part.size, 0),
    masking: first?.masking,
    notes: parts.flatMap((part) => part.notes ?? []),
    truthless: parts.every((part) => part.truthless === true),
    async *samples() {
      for (const part of parts) yield* part.samples();
    },
  };
}
