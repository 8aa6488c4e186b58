import { FsynError } from '../errors.js';

/** What a native function that works on its own thread returns (bindings/job.hpp). */
export interface NativeJob<T> {
  readonly promise: Promise<T>;
  cancel(): void;
}

/**
 * Awaits a native job under an AbortSignal.
 *
 * @param start starts the job; not called when the signal is already aborted
 * @param signal aborting cancels the job; the promise then rejects with `signal.reason` once the job has
 *   stopped
 */
export async function runJob<T>(start: () => NativeJob<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  const job = start();
  const cancel = () => job.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const result = await job.promise;
    signal?.throwIfAborted();
    return result;
  } catch (error) {
    signal?.throwIfAborted();
    throw withStack(error);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/**
 * Awaits a native job whose result holds what was done before it was cancelled: aborting stops the job and
 * resolves with that. The caller throws the reason.
 */
export async function runPartialJob<T>(start: () => NativeJob<T>, signal: AbortSignal): Promise<T> {
  const job = start();
  const cancel = () => job.cancel();
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await job.promise;
  } catch (error) {
    throw withStack(error);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

/**
 * Native errors are made on an empty stack; the message alone would be all a person sees without a new trace.
 */
function withStack(error: unknown): unknown {
  if (error instanceof FsynError) Error.captureStackTrace(error, withStack);
  return error;
}
