import { availableParallelism } from 'node:os';
import { addon } from '../../addon/addon.js';
import { type NativeJob, runJob } from '../../addon/job.js';

/** Fixed-point weights of every output sample along one axis (native/imaging/resample.hpp). */
export interface Taps {
  readonly size: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
}

/** An image [height, width, 3] and where the result goes; both stay untouched until the job ends. */
interface ImageRequest {
  readonly source: Uint8Array;
  readonly target: Uint8Array;
  readonly height: number;
  readonly width: number;
}

interface BlurRequest extends ImageRequest {
  /** Pixels of full weight on either side of the middle. */
  readonly whole: number;
  /** 8.24 fixed point. */
  readonly weight: number;
  readonly farWeight: number;
  readonly passes: number;
}

interface ResampleRequest extends ImageRequest {
  readonly columns: Taps | undefined;
  readonly rows: Taps | undefined;
}

interface MeanRequest {
  readonly source: Uint8Array;
  readonly target: Uint8Array;
}

interface NoiseRequest {
  /** Of lib/statistics/random.ts. */
  readonly state: Uint32Array;
  readonly target: Uint8Array;
}

/** Patches of `side` x `side` pixels in blocks of `merge` x `merge`, each repeated `times` times. */
export interface PatchRequest {
  readonly source: Uint8Array;
  /** [patches, 3, times, side, side] */
  readonly target: Float32Array;
  readonly height: number;
  readonly width: number;
  readonly side: number;
  readonly merge: number;
  readonly times: number;
  /** [3, 256] */
  readonly table: Float32Array;
}

declare module '../../addon/addon.js' {
  interface NativeAddon {
    blurImage(request: BlurRequest & { readonly threads: number }): NativeJob<void>;
    resampleImage(request: ResampleRequest & { readonly threads: number }): NativeJob<void>;
    fillMean(request: MeanRequest): NativeJob<void>;
    fillNoise(request: NoiseRequest): NativeJob<void>;
    cutPatches(request: PatchRequest): NativeJob<void>;
  }
}

// Native threads see the memory of a request but not the collector; this is what keeps it alive meanwhile.
const working = new Set<object>();

async function run(request: object, start: () => NativeJob<void>, signal: AbortSignal | undefined) {
  working.add(request);
  try {
    await runJob(start, signal);
  } finally {
    working.delete(request);
  }
}

/** Blurs on native threads; rejects with the signal's reason when aborted. */
export function runBlur(request: BlurRequest, signal: AbortSignal | undefined): Promise<void> {
  const threads = availableParallelism();
  return run(request, () => addon().blurImage({ ...request, threads }), signal);
}

/** Resamples on native threads; rejects with the signal's reason when aborted. */
export function runResample(request: ResampleRequest, signal: AbortSignal | undefined): Promise<void> {
  const threads = availableParallelism();
  return run(request, () => addon().resampleImage({ ...request, threads }), signal);
}

/** Fills an image with its mean colour on a native thread; rejects with the signal's reason when aborted. */
export function runMean(request: MeanRequest, signal: AbortSignal | undefined): Promise<void> {
  return run(request, () => addon().fillMean(request), signal);
}

/** Fills an image with the upper bytes of random words on a native thread. */
export function runNoise(request: NoiseRequest, signal: AbortSignal | undefined): Promise<void> {
  return run(request, () => addon().fillNoise(request), signal);
}

/** Cuts an image into patches and normalises them by a table, on a native thread. */
export function runPatches(request: PatchRequest, signal: AbortSignal | undefined): Promise<void> {
  return run(request, () => addon().cutPatches(request), signal);
}
