import { createContext, Script } from 'node:vm';
import { type ErrorCode, FsynError } from './errors.js';

const context = createContext({ work: undefined as (() => void) | undefined });
const call = new Script('work()');

/**
 * Does synchronous work whose length data of strangers decide: templates, regular expressions. It is ended
 * after a time, in the middle of a regular expression too; nothing else can end it while it holds the event
 * loop.
 *
 * @param what names the work in the message
 * @throws FsynError with the code when the time is up; what the work throws otherwise
 */
export function withinTime<T>(seconds: number, what: string, code: ErrorCode, work: () => T): T {
  let result: { readonly value: T } | undefined;
  context.work = () => {
    result = { value: work() };
  };
  try {
    call.runInContext(context, { timeout: seconds * 1000 });
  } catch (cause) {
    if (!isTimeout(cause)) throw cause;
    throw new FsynError(code, `${what} took more than ${seconds} seconds and was ended.`, { cause });
  }
  return (result as { readonly value: T }).value;
}

/** The error comes from the other context, so it is no instance of this one's Error. */
function isTimeout(cause: unknown): boolean {
  return (cause as { code?: unknown } | null)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
}
