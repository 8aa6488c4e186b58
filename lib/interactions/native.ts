import { addon } from '../addon/addon.js';
import { type NativeJob, runJob } from '../addon/job.js';
import type { Device } from './device.js';

/** Values of a game. */
export type TableValues = Float64Array | Float32Array;

/** Where and how native work runs: kernel set by name ('' chooses), threads (0 chooses). */
export interface NativeExecution {
  readonly kernels: string;
  readonly threads: number;
}

/** Native work that a device can do, too. */
export interface DeviceExecution extends NativeExecution {
  readonly device: Device;
}

export interface TransformRequest extends DeviceExecution {
  readonly table: TableValues;
  /** A job does so only with memory of `allocateValues` or `holdValues`. */
  readonly inPlace: boolean;
  readonly kind: string;
  readonly p: number;
}

export interface PairIndexRequest extends DeviceExecution {
  readonly table: TableValues;
  readonly pairWeights: Float64Array;
  readonly singleWeights: Float64Array;
}

export interface SizeIndexRequest extends DeviceExecution {
  readonly table: TableValues;
  readonly minSize: number;
  readonly maxSize: number;
  readonly weights: Float64Array;
}

export interface WeightedSumRequest extends NativeExecution {
  readonly table: TableValues;
  /** [players + 1] by size. */
  readonly weights: Float64Array;
}

/** Least squares of values on what interactions give coalitions. */
export interface FitRequest extends NativeExecution {
  readonly players: number;
  /** [rows][words]: bit p % 32 of word p / 32 is player p. */
  readonly words: Uint32Array;
  /** [rows]: square roots of the rows' weights; `right` is scaled by them, too. */
  readonly scale: Float64Array;
  readonly right: Float64Array;
  /** The columns, as in InteractionSet. */
  readonly members: Int32Array;
  readonly offsets: Int32Array;
  /** [orders][orders]: what an interaction of s players gives a coalition with r of them. */
  readonly shares: Float64Array;
  readonly orders: number;
  /** Empty, or [columns] with constraint[0] = 1: sum of constraint[c] x[c] = constraintValue, exactly. */
  readonly constraint: Float64Array;
  readonly constraintValue: number;
  /** [rows]: 0 for rows that are the same in every sample, whose residuals are no error. */
  readonly random: Float64Array;
}

export interface LinearFit {
  readonly solution: Float64Array;
  readonly standardErrors: Float64Array;
  readonly residuals: Float64Array;
}

export interface PairIndexValues {
  readonly pairs: Float64Array;
  readonly singles: Float64Array;
}

type NativeProgress = ((done: number, total: number) => void) | null;

/** A native function: with a second argument it runs as a job on its own thread, without one at once. */
interface NativeOperation<Request, Result> {
  (request: Request): Result;
  (request: Request, onProgress: NativeProgress): NativeJob<Result>;
}

declare module '../addon/addon.js' {
  interface NativeAddon {
    /** undefined when the table itself holds the result. */
    transformTable: NativeOperation<TransformRequest, TableValues | undefined>;
    pairIndex: NativeOperation<PairIndexRequest, PairIndexValues>;
    dividendIndex: NativeOperation<SizeIndexRequest, Float64Array>;
    blockValueIndex: NativeOperation<SizeIndexRequest, Float64Array>;
    fitInteractions: NativeOperation<FitRequest, LinearFit>;
    sizeWeightedSum: NativeOperation<WeightedSumRequest, number>;
    firstNotFinite(values: TableValues): number;
    /** Zeros in native memory, which jobs share; what jobs get of other memory is a copy. */
    allocateValues(length: number, wide: boolean): TableValues;
    /** The array itself when it lies in native memory, else a copy there. */
    holdValues<Values extends TableValues>(values: Values): Values;
    kernelSets(): readonly string[];
    activeKernelSet(): string;
    requireMemory(bytes: number, purpose: string): void;
    cudaDevice(): { readonly name: string; readonly memory: number };
  }
}

/** One native call that can run here or as a job. */
export interface Step {
  now(): unknown;
  job(onProgress: NativeProgress): NativeJob<unknown>;
}

/**
 * Native steps of one computation, written once and run either way: `yield* step(...)` gives the step's
 * result. A job shares arrays of `holdValues` and copies all others.
 */
export type Steps<Result> = Generator<Step, Result, unknown>;

export function* step<Request, Result>(
  operation: () => NativeOperation<Request, Result>,
  request: Request,
): Steps<Result> {
  const result = yield {
    now: () => operation()(request),
    job: (onProgress) => operation()(request, onProgress),
  };
  return result as Result;
}

/** Runs the steps on the calling thread. */
export function runSync<Result>(steps: Steps<Result>): Result {
  let next = steps.next();
  while (!next.done) next = steps.next(next.value.now());
  return next.value;
}

/** Runs every step as a job on a thread of its own, so that the event loop stays free. */
export async function runAsync<Result>(
  steps: Steps<Result>,
  signal: AbortSignal | undefined,
  onProgress: ((fraction: number) => void) | undefined,
): Promise<Result> {
  signal?.throwIfAborted();
  let next = steps.next();
  while (!next.done) {
    const current = next.value;
    const report = onProgress ? (done: number, total: number) => onProgress(done / total) : null;
    next = steps.next(await runJob(() => current.job(report), signal));
  }
  return next.value;
}

/** What the kernels of this machine are, for `fsyn doctor`. */
export interface KernelFacts {
  /** Every kernel set that runs here, fastest first. */
  readonly available: readonly string[];
  /** The one in use: the environment variable FSYN_KERNELS, or the fastest. */
  readonly active: string;
}

/** @throws FsynError INVALID_ARGUMENT when FSYN_KERNELS names a set that cannot run here */
export function kernelFacts(): KernelFacts {
  return { available: addon().kernelSets(), active: addon().activeKernelSet() };
}
