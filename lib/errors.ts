/** Stable machine-readable reasons; a code never changes its meaning between versions. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'ADDON_NOT_FOUND'
  | 'RUNTIME_NOT_FOUND'
  | 'PROVIDER_UNAVAILABLE'
  | 'PROVIDER_INEXACT'
  | 'MODEL_FILE'
  | 'MODEL_CONTRACT'
  | 'UNSUPPORTED_MODEL'
  | 'UNSUPPORTED_OPERATOR'
  | 'IMAGE'
  | 'TOKENIZER'
  | 'CONTEXT_LENGTH'
  | 'ATTRIBUTION'
  | 'EXPLAINER'
  | 'DATASET'
  | 'RESULTS'
  | 'SERVER'
  | 'QUEUE'
  | 'BUDGET'
  | 'RANK_DEFICIENT'
  | 'OUT_OF_MEMORY'
  | 'INFERENCE'
  | 'DISPOSED';

/** Every error that fsyn raises itself: a sentence for people, a `code` for programs, the `cause` kept. */
export class FsynError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'FsynError';
    this.code = code;
  }
}

/** Misuse of a parameter: names it, says what was expected and what came. */
export function invalidArgument(parameter: string, expected: string, received: unknown): FsynError {
  return new FsynError(
    'INVALID_ARGUMENT',
    `Expected ${expected} for ${parameter} but received ${describe(received)}.`,
  );
}

/** A short, safe rendering of any value for error messages. */
export function describe(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return String(value);
  if (value === null || value === undefined) return String(value);
  if (ArrayBuffer.isView(value)) {
    return `${value.constructor.name} of ${'length' in value ? String(value.length) : value.byteLength} elements`;
  }
  if (Array.isArray(value)) return `an array of ${value.length} elements`;
  if (typeof value === 'object') return `an instance of ${value.constructor?.name ?? 'Object'}`;
  return `a ${typeof value}`;
}

/** What an error says, whatever was thrown. */
export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
