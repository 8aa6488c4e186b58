import { addon } from '../addon/addon.js';
import { checkFixedLength, checkInteger, checkNumber, checkOneOf } from '../checks.js';
import { invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { chooseDevice, type Device } from './device.js';
import { runAsync, runSync, type Steps, step, type TableValues } from './native.js';
import { maxTablePlayers } from './value-table.js';

const KINDS = [
  'moebius',
  'zeta',
  'coMoebius',
  'inverseCoMoebius',
  'supersetSum',
  'supersetDifference',
  'walshHadamard',
  'banzhaf',
  'inverseBanzhaf',
] as const;

/**
 * Linear maps over all 2^n values of a table, entry S a coalition's bit mask:
 *
 * - `moebius`: values to dividends m(S); `zeta` back.
 * - `coMoebius`: values to co-dividends, sum of m(T) over T >= S; `inverseCoMoebius` back.
 * - `supersetSum`: y(S) = sum of x(T) over T >= S; `supersetDifference` back.
 * - `walshHadamard`: y(S) = sum over T of (-1)^|S and T| x(T); `inverseWalshHadamard` back (the same divided
 *   by 2^n).
 * - `banzhaf`: values to the weighted Banzhaf interaction index with probability p of every coalition (p =
 *   1/2: BII);
 *   `inverseBanzhaf` back.
 */
export type TransformKind = (typeof KINDS)[number] | 'inverseWalshHadamard';

export interface TransformOptions {
  /** Probability of the Banzhaf kinds, in 0..1. */
  readonly p: number;
  /** Overwrite the given array; otherwise a new one is returned. */
  readonly inPlace: boolean;
  /** Threads; 0 chooses. The result does not depend on it. */
  readonly threads: number;
  /** 'avx512', 'avx2', 'neon' or 'portable'; '' chooses. */
  readonly kernels: string;
  /**
   * Where: 'cuda' needs the CUDA plugin and a device, and is an error without them. An array cannot say which
   * device made it, so there is no 'auto' here; `cudaFacts` tells what there is.
   */
  readonly device: Device;
}

const DEFAULTS: TransformOptions = { p: 0.5, inPlace: false, threads: 0, kernels: '', device: 'cpu' };

/**
 * Transforms 2^n values on the calling thread; milliseconds up to n = 20.
 *
 * @throws FsynError INVALID_ARGUMENT for another length, OUT_OF_MEMORY when a copy does not fit,
 *   PROVIDER_UNAVAILABLE for 'cuda' without plugin or device
 */
export function transformSync<Values extends TableValues>(
  values: Values,
  kind: TransformKind,
  options: Partial<TransformOptions> = {},
): Values {
  return runSync(transformSteps(values, kind, resolveOptions('transformSync', DEFAULTS, options)));
}

/**
 * Transforms 2^n values on a thread of its own. With `inPlace` the array gets the result at the end; one of
 * `ValueTable.allocate` is transformed where it is, must be left alone until then, and holds garbage after an
 * abort.
 */
export async function transform<Values extends TableValues>(
  values: Values,
  kind: TransformKind,
  options: Partial<TransformOptions & AsyncOptions> = {},
): Promise<Values> {
  const { signal, onProgress, ...rest } = resolveOptions(
    'transform',
    { ...DEFAULTS, ...ASYNC_DEFAULTS },
    options,
  );
  return runAsync(transformSteps(values, kind, rest), signal, onProgress);
}

/** What every long call takes. */
export interface AsyncOptions {
  readonly signal: AbortSignal | undefined;
  /** Called with the share of the current native step that is done, in 0..1. */
  readonly onProgress: ((fraction: number) => void) | undefined;
}

export const ASYNC_DEFAULTS: AsyncOptions = { signal: undefined, onProgress: undefined };

export function checkThreads(threads: number): void {
  checkInteger('threads', threads, 0, 1024);
}

function* transformSteps<Values extends TableValues>(
  values: Values,
  kind: TransformKind,
  { p, inPlace, threads, kernels, device }: TransformOptions,
): Steps<Values> {
  const known: readonly string[] = [...KINDS, 'inverseWalshHadamard'];
  checkOneOf('kind', kind, known);
  if (!(values instanceof Float64Array || values instanceof Float32Array)) {
    throw invalidArgument('values', 'a Float64Array or Float32Array', values);
  }
  const n = Math.log2(values.length);
  if (!Number.isInteger(n) || n > maxTablePlayers) {
    throw invalidArgument(
      'values',
      `2^players values with players from 0 to ${maxTablePlayers}`,
      values.length,
    );
  }
  checkNumber('p', p, { least: 0, most: 1 });
  checkThreads(threads);
  checkOneOf('device', device, ['cpu', 'cuda']);
  chooseDevice(device, kernels, { players: n, tables: 1, oneRead: false });
  checkFixedLength('values', values);
  const native = kind === 'inverseWalshHadamard' ? 'walshHadamard' : kind;
  const request = { table: values, inPlace, kind: native, p, threads, kernels, device };
  const result = yield* step(() => addon().transformTable, request);
  const table = inPlace ? values : (result as Values);
  if (inPlace && result !== undefined) {
    if (values.length !== result.length)
      throw invalidArgument('values', 'an array that stays where it is', values);
    values.set(result);
  }
  if (kind === 'inverseWalshHadamard') for (let i = 0; i < table.length; i++) table[i] /= table.length;
  return table;
}
