import type { Writable } from 'node:stream';
import { reasonOf } from '../errors.js';

/** Writes to a stream that may go away. */
export interface Printer {
  readonly print: (text: string) => void;
  /**
   * Waits until everything is written. What was lost otherwise than by a reader who left; null for nothing.
   */
  lost(): Promise<string | null>;
}

/**
 * Prints to a stream whose end may be closed (`fsyn bench | head`: the reader has what it wants, and the work
 * goes on to its end) or full (what was to be printed is lost, which is said at the end). Neither is worth a
 * stack trace.
 */
export function printer(stream: Writable): Printer {
  let closed = false;
  let lost: string | null = null;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    closed = true;
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') lost = reasonOf(error);
  });
  return {
    print: (text) => {
      if (!closed) stream.write(text);
    },
    lost: async () => {
      if (!closed) await new Promise<void>((resolve) => stream.write('', () => resolve()));
      // An error is told after the callback of the write.
      await new Promise((resolve) => setImmediate(resolve));
      return lost;
    },
  };
}
