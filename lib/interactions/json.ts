import { invalidArgument } from '../errors.js';
import type { CrossPairs } from './players.js';
import type { Provenance } from './provenance.js';

/** The JSON form, readable by the Python library shapiq and back. */
export interface InteractionsJson {
  readonly metadata: {
    readonly n_players: number;
    readonly index: string;
    readonly max_order: number;
    readonly min_order: number;
    readonly estimated: boolean;
    readonly estimation_budget: number | null;
    readonly baseline_value: number;
    readonly [key: string]: unknown;
  };
  readonly data: Readonly<Record<string, number>>;
}

/** Key of a coalition in the peer's files: "Empty", "0", "0,3". */
export function jsonKey(coalition: ArrayLike<number>): string {
  return coalition.length === 0 ? 'Empty' : Array.from(coalition).join(',');
}

/** Ascending players of a key of the peer's files. */
export function parseJsonKey(key: string, players: number): number[] {
  if (key === 'Empty' || key === '') return [];
  const coalition = key.split(',').map((part) => Number(part));
  const valid = coalition.every(
    (player, i) =>
      Number.isInteger(player) && player >= 0 && player < players && (i === 0 || player > coalition[i - 1]),
  );
  if (!valid) throw invalidArgument('data', `keys of ascending players below ${players}`, key);
  return coalition;
}

export function checkJson(json: unknown): InteractionsJson {
  const form = json as InteractionsJson | null;
  const metadata = form?.metadata;
  const sound =
    typeof form?.data === 'object' &&
    form.data !== null &&
    typeof metadata?.index === 'string' &&
    [metadata.n_players, metadata.max_order, metadata.min_order].every(Number.isInteger) &&
    typeof metadata.baseline_value === 'number';
  if (!sound)
    throw invalidArgument(
      'json',
      'interaction values { metadata: { n_players, index, max_order, min_order, baseline_value }, data }',
      json,
    );
  return form;
}

export function namesIn(metadata: InteractionsJson['metadata']): readonly string[] | null {
  const names = metadata.player_names;
  return Array.isArray(names) && names.length === metadata.n_players ? (names as string[]) : null;
}

export function provenanceIn(metadata: InteractionsJson['metadata']): Provenance {
  const own = metadata.provenance as Provenance | null | undefined;
  if (own) return own;
  const budget = metadata.estimation_budget ?? Number.NaN;
  const spent = { evaluations: budget, distinctCoalitions: budget, imageStates: null };
  return { estimator: 'unknown', seed: Number.NaN, budget, spent };
}

/** The restriction to cross-modal interactions, which only our own files have. */
export function pairsIn(metadata: InteractionsJson['metadata']): CrossPairs | null {
  return (metadata.pairs as CrossPairs | null | undefined) ?? null;
}

/** Standard errors of our own files; null stands for infinity. */
export function standardErrorsIn(metadata: InteractionsJson['metadata'], count: number): Float64Array | null {
  const errors = metadata.standard_errors;
  if (errors === null || errors === undefined) return null;
  const sound =
    Array.isArray(errors) &&
    errors.length === count &&
    errors.every((error) => error === null || (typeof error === 'number' && error >= 0));
  if (!sound)
    throw invalidArgument('metadata.standard_errors', `${count} numbers >= 0, one per interaction,`, errors);
  return Float64Array.from(
    errors as readonly (number | null)[],
    (error) => error ?? Number.POSITIVE_INFINITY,
  );
}
