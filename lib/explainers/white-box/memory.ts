import { checkBytes } from '../../checks.js';

let memoryLimit: number | undefined;

/**
 * Sets how many bytes the activations and gradients of one explanation, and the weights copied for it, may
 * take. Where vision graph and decoder do not fit in one session, each has half of it: above that,
 * transformer blocks are run forward again instead of being kept; what still does not fit is refused with
 * code `OUT_OF_MEMORY` before the run.
 *
 * @param bytes > 0; undefined (the default) for what the system has available at the time
 */
export function limitWhiteBoxMemory(bytes: number | undefined): void {
  checkBytes('bytes', bytes);
  memoryLimit = bytes;
}

/** Bytes that forward and backward pass of the whole chain may take. */
export function wholeLimit(): number | undefined {
  return memoryLimit;
}

/** What a forward pass takes: the signal and its share of the limit. */
export function passOptions(signal: AbortSignal | undefined): {
  signal?: AbortSignal;
  memory: number | undefined;
} {
  return { signal, memory: memoryLimit === undefined ? undefined : memoryLimit / 2 };
}
