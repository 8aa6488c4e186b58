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

/** An image [height, width, 3], which is copied when the job starts. */
interface ImageRequest {
  readonly source: Uint8Array;
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
  readonly newHeight: number;
  readonly newWidth: number;
  readonly columns: Taps | undefined;
  readonly rows: Taps | undefined;
}

interface NoiseRequest {
  /** Of lib/statistics/random.ts. */
  readonly state: Uint32Array;
  readonly height: number;
  readonly width: number;
}

/** Patches of `side` x `side` pixels in blocks of `merge` x `merge`, each repeated `times` times. */
export interface PatchRequest extends ImageRequest {
  readonly side: number;
  readonly merge: number;
  readonly times: number;
  /** [3, 256] */
  readonly table: Float32Array;
}

declare module '../../addon/addon.js' {
  interface NativeAddon {
    blurImage(request: BlurRequest & { readonly threads: number }): NativeJob<Uint8Array>;
    resampleImage(request: ResampleRequest & { readonly threads: number }): NativeJob<Uint8Array>;
    meanImage(request: { readonly source: Uint8Array }): NativeJob<Uint8Array>;
    noiseImage(request: NoiseRequest): NativeJob<Uint8Array>;
    cutPatches(request: PatchRequest): NativeJob<Float32Array>;
  }
}

// All of these run on native threads and reject with the signal's reason when aborted.

export function runBlur(request: BlurRequest, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return runJob(() => addon().blurImage({ ...request, threads: availableParallelism() }), signal);
}

export function runResample(request: ResampleRequest, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return runJob(() => addon().resampleImage({ ...request, threads: availableParallelism() }), signal);
}

/** An image of the mean colour of `source`. */
export function runMean(source: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return runJob(() => addon().meanImage({ source }), signal);
}

/** An image of the upper bytes of random words. */
export function runNoise(request: NoiseRequest, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return runJob(() => addon().noiseImage(request), signal);
}

/** Patches normalised by a table: [patches, 3, times, side, side]. */
export function runPatches(request: PatchRequest, signal: AbortSignal | undefined): Promise<Float32Array> {
  return runJob(() => addon().cutPatches(request), signal);
}
