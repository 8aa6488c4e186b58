import { availableParallelism } from 'node:os';
import { addon } from '../../inference/addon.js';
import { type NativeJob, runJob } from '../../inference/job.js';

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

declare module '../../inference/addon.js' {
  interface NativeAddon {
    blurImage(request: BlurRequest & { readonly threads: number }): NativeJob<void>;
    resampleImage(request: ResampleRequest & { readonly threads: number }): NativeJob<void>;
  }
}

// Native threads see the memory of a request but not the collector; this is what keeps it alive meanwhile.
const working = new Set<ImageRequest>();

async function run(request: ImageRequest, start: () => NativeJob<void>, signal: AbortSignal | undefined) {
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
