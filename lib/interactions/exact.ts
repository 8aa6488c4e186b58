import { addon } from '../addon/addon.js';
import { checkNumber, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { chooseDevice, type Device } from './device.js';
import { InteractionSet } from './interaction-set.js';
import { runAsync, runSync, type Steps, step } from './native.js';
import type { CrossPairs } from './players.js';
import { Interactions } from './result.js';
import { ASYNC_DEFAULTS, type AsyncOptions, checkThreads } from './transforms.js';
import { ValueTable } from './value-table.js';
import {
  type BlockIndex,
  blockWeights,
  type CardinalIndex,
  type DividendIndex,
  derivativeWeights,
  dividendWeights,
} from './weights.js';

const BLOCK_INDICES = ['SGV', 'BGV', 'CHGV', 'IGV', 'EGV', 'JointSV'] as const;
const DIVIDEND_INDICES = [
  'Moebius',
  'Co-Moebius',
  'SII',
  'BII',
  'WBII',
  'CHII',
  'k-SII',
  'STII',
  'FSII',
  'FBII',
  'kADD-SHAP',
] as const;

/**
 * Name of an index. SV and BV are orders 1 of SII and BII; WBII is the weighted Banzhaf interaction index
 * with probability p; SGV, BGV, CHGV, IGV and EGV are generalised values of blocks; JointSV are joint Shapley
 * values.
 */
export type IndexName = 'SV' | 'BV' | DividendIndex | BlockIndex;

/** Every index name, for messages and tools. */
export const indexNames: readonly IndexName[] = ['SV', 'BV', ...DIVIDEND_INDICES, ...BLOCK_INDICES];

export interface InteractionOptions {
  readonly index: IndexName;
  /** Largest interaction size k, 1..players; SV and BV take 1 only. */
  readonly order: number;
  /** Smallest size in the result; 0 includes the empty set. */
  readonly minOrder: number;
  /** Only interactions with members of both modalities; minOrder is then at least 2. */
  readonly pairs: CrossPairs | null;
  /** Probability of WBII, in 0..1. */
  readonly p: number;
  /**
   * What is stored for the empty set. 'definition': SII, BII, WBII and FBII what their formula gives (a mean
   * of all values, FBII its intercept), Co-Moebius v(N), every other index v(empty). 'shapiq': the same, but
   * v(empty) for Co-Moebius and for SII of order 1, as that library stores it.
   */
  readonly emptySet: 'definition' | 'shapiq';
  /** Threads; 0 chooses. The result does not depend on it. */
  readonly threads: number;
  /** 'avx512', 'avx2', 'neon' or 'portable'; '' chooses. */
  readonly kernels: string;
  /**
   * Where: 'cuda' needs the CUDA plugin and a device, and is an error without them. 'auto' takes CUDA where
   * it is there and pays (orders above 2, large tables), else the processor; the result's `device` says which
   * it was. The empty set's mean value is summed on the processor in any case.
   */
  readonly device: Device | 'auto';
}

const DEFAULTS: InteractionOptions = {
  index: 'SII',
  order: 2,
  minOrder: 0,
  pairs: null,
  p: 0.5,
  emptySet: 'definition',
  threads: 0,
  kernels: '',
  device: 'cpu',
};

/**
 * Exact interaction values of a game, on the calling thread. Orders up to 2 of the cardinal indices take one
 * read of the table (n = 20: a third of a millisecond); everything else goes through the dividends, order + 1
 * in-place transforms.
 *
 * @throws FsynError INVALID_ARGUMENT before any work, OUT_OF_MEMORY when the copies would make the machine
 *   swap or do not fit on the device, PROVIDER_UNAVAILABLE for 'cuda' without plugin or device
 * @example
 * interactionsSync(game, { index: 'SII', pairs: { image: [0, 1], text: [2, 3] } }).top(3);
 */
export function interactionsSync(game: ValueTable, options: Partial<InteractionOptions> = {}): Interactions {
  return runSync(exactSteps(game, resolveOptions('interactionsSync', DEFAULTS, options)));
}

/**
 * The same on a thread of its own. The table is copied when the computation starts, unless it lies in native
 * memory (`ValueTable.allocate`, `ValueTable.evaluate`): then its values must stay as they are until the
 * promise settles.
 */
export async function interactions(
  game: ValueTable,
  options: Partial<InteractionOptions & AsyncOptions> = {},
): Promise<Interactions> {
  const { signal, onProgress, ...rest } = resolveOptions(
    'interactions',
    { ...DEFAULTS, ...ASYNC_DEFAULTS },
    options,
  );
  return runAsync(
    exactSteps(game, rest, (values) => values.held()),
    signal,
    onProgress,
  );
}

/** `prepare` comes after the checks: it makes the table that the steps read. */
function* exactSteps(
  given: ValueTable,
  options: InteractionOptions,
  prepare = (game: ValueTable) => game,
): Steps<Interactions> {
  ValueTable.check(given);
  const n = given.players.count;
  checkOneOf('index', options.index, indexNames);
  if (options.emptySet !== 'definition' && options.emptySet !== 'shapiq') {
    throw invalidArgument('emptySet', "'definition' or 'shapiq'", options.emptySet);
  }
  checkNumber('p', options.p, { least: 0, most: 1 });
  checkThreads(options.threads);
  const single = options.index === 'SV' || options.index === 'BV';
  const order = single && options.order === DEFAULTS.order ? 1 : options.order;
  if (single && order !== 1) throw invalidArgument('order', `1 for ${options.index}`, options.order);
  const sides = given.players.sides(options.pairs);
  const set = new InteractionSet(n, sides ? Math.max(options.minOrder, 2) : options.minOrder, order, sides);
  const full = sides ? new InteractionSet(n, 0, order) : set;
  const index = options.index === 'SV' ? 'SII' : options.index === 'BV' ? 'BII' : options.index;
  const route = routeOf(index, order);
  const device = chooseDevice(options.device, options.kernels, {
    players: n,
    tables: 2,
    oneRead: route === 'pairs',
  });

  const game = prepare(given);
  const nonEmpty = yield* ordersFromOne(game, index, order, route, { ...options, device });
  const values = new Float64Array(set.length);
  if (sides) {
    // `nonEmpty` starts at order 1, one after the empty set of `full`.
    for (let i = 0; i < set.length; i++) values[i] = nonEmpty[full.position(set.at(i)) - 1];
  } else if (set.minOrder === 0) {
    values[0] = yield* emptySetValue(game, options.index, order, nonEmpty, options);
    values.set(nonEmpty, 1);
  } else {
    values.set(nonEmpty.subarray(nonEmpty.length - set.length));
  }
  return new Interactions({
    index: options.index,
    players: game.players,
    set,
    values,
    baseline: game.values[0],
    device,
  });
}

type ComputedIndex = DividendIndex | BlockIndex;

/** How an index is computed: by blocks, by all pairs in one read, or through the dividends. */
function routeOf(index: ComputedIndex, order: number): 'blocks' | 'pairs' | 'dividends' {
  if ((BLOCK_INDICES as readonly string[]).includes(index)) return 'blocks';
  return order <= 2 && index !== 'Moebius' && index !== 'Co-Moebius' ? 'pairs' : 'dividends';
}

/** Options with the device that was chosen. */
type Settled = InteractionOptions & { readonly device: Device };

/** Values of all interactions of orders 1..k. */
function* ordersFromOne(
  game: ValueTable,
  index: ComputedIndex,
  k: number,
  route: ReturnType<typeof routeOf>,
  options: Settled,
): Steps<Float64Array> {
  const n = game.players.count;
  const { threads, kernels, device } = options;
  const execution = { table: game.values, threads, kernels, device };
  if (route === 'blocks') {
    const weights = blockWeights(index as BlockIndex, n, k);
    return yield* step(() => addon().blockValueIndex, { ...execution, minSize: 1, maxSize: k, weights });
  }
  if (route === 'pairs') return yield* fromPairs(game, index as PairwiseIndex, k, options);
  const weights = dividendWeights(index as DividendIndex, n, 1, k, options.p);
  return yield* step(() => addon().dividendIndex, { ...execution, minSize: 1, maxSize: k, weights });
}

type PairwiseIndex = Exclude<DividendIndex, 'Moebius' | 'Co-Moebius'>;

/** Which derivative weights make the singles and the pairs of an index of order <= 2. */
const PAIRWISE: Readonly<Record<PairwiseIndex, { singles: CardinalIndex; pairs: CardinalIndex }>> = {
  SII: { singles: 'SII', pairs: 'SII' },
  'k-SII': { singles: 'SII', pairs: 'SII' },
  BII: { singles: 'BII', pairs: 'BII' },
  WBII: { singles: 'WBII', pairs: 'WBII' },
  CHII: { singles: 'CHII', pairs: 'CHII' },
  STII: { singles: 'SII', pairs: 'STII-top' },
  FSII: { singles: 'SII', pairs: 'FSII-top' },
  FBII: { singles: 'BII', pairs: 'FBII-top' },
  'kADD-SHAP': { singles: 'SII', pairs: 'FSII-top' },
};

function* fromPairs(
  game: ValueTable,
  index: PairwiseIndex,
  k: number,
  { p, threads, kernels, device }: Settled,
): Steps<Float64Array> {
  const n = game.players.count;
  const { singles, pairs } = PAIRWISE[index];
  const computed = yield* step(() => addon().pairIndex, {
    table: game.values,
    pairWeights: n > 1 ? derivativeWeights(pairs, n, 2, p) : new Float64Array(0),
    singleWeights: derivativeWeights(singles, n, 1, p),
    threads,
    kernels,
    device,
  });
  const values = new Float64Array(n + (k === 2 ? (n * (n - 1)) / 2 : 0));
  for (let i = 0; i < n; i++) values[i] = computed.singles[i];
  if (k === 1) return values;
  let at = n;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) values[at++] = computed.pairs[i * n + j];
  }
  if (index === 'STII') for (let i = 0; i < n; i++) values[i] = game.values[2 ** i] - game.values[0];
  if (index === 'k-SII' || index === 'FSII' || index === 'FBII') {
    // The singles give half of every pair back: for k-SII by definition (Bordt & von Luxburg 2023), for FSII
    // because the fitted game keeps the Shapley values, for FBII because it keeps the Banzhaf values (Tsai et
    // al. 2023).
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += computed.pairs[i * n + j];
      values[i] -= sum / 2;
    }
  }
  return values;
}

/** What `InteractionOptions.emptySet` describes. `nonEmpty` are the values of orders 1..k. */
function* emptySetValue(
  game: ValueTable,
  index: IndexName,
  k: number,
  nonEmpty: Float64Array,
  { emptySet, p, threads, kernels }: InteractionOptions,
): Steps<number> {
  const n = game.players.count;
  const weighted = (name: 'SII' | 'BII' | 'WBII') =>
    step(() => addon().sizeWeightedSum, {
      table: game.values,
      weights: derivativeWeights(name, n, 0, p),
      threads,
      kernels,
    });
  switch (index) {
    case 'SII':
      return emptySet === 'shapiq' && k === 1 ? game.values[0] : yield* weighted('SII');
    case 'BII':
    case 'BV':
      return yield* weighted('BII');
    case 'WBII':
      return yield* weighted('WBII');
    case 'Co-Moebius':
      return emptySet === 'shapiq' ? game.values[0] : game.values[game.values.length - 1];
    case 'FBII':
      return banzhafIntercept(yield* weighted('BII'), n, k, nonEmpty);
    default:
      return game.values[0];
  }
}

/**
 * The fitted k-additive game has the game's mean: every interaction of size s is present in 2^-s of the
 * coalitions.
 */
function banzhafIntercept(mean: number, n: number, k: number, nonEmpty: Float64Array): number {
  const set = new InteractionSet(n, 1, k);
  let intercept = mean;
  for (let i = 0; i < set.length; i++) intercept -= nonEmpty[i] * 2 ** -set.order(i);
  if (!Number.isFinite(intercept))
    throw new FsynError('INVALID_ARGUMENT', 'The values of the game overflow.');
  return intercept;
}
