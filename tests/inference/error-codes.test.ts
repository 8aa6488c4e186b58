import { expect, test } from 'vitest';
import { addon } from '../../lib/addon/addon.js';
import type { ErrorCode } from '../../lib/errors.js';

// The compiler keeps this complete: a code that lib/errors.ts loses or gains is an error here.
const codes: Record<ErrorCode, true> = {
  INVALID_ARGUMENT: true,
  ADDON_NOT_FOUND: true,
  RUNTIME_NOT_FOUND: true,
  PROVIDER_UNAVAILABLE: true,
  PROVIDER_INEXACT: true,
  MODEL_FILE: true,
  MODEL_CONTRACT: true,
  UNSUPPORTED_MODEL: true,
  UNSUPPORTED_OPERATOR: true,
  IMAGE: true,
  TOKENIZER: true,
  CONTEXT_LENGTH: true,
  ATTRIBUTION: true,
  EXPLAINER: true,
  DATASET: true,
  RESULTS: true,
  SERVER: true,
  QUEUE: true,
  BUDGET: true,
  RANK_DEFICIENT: true,
  OUT_OF_MEMORY: true,
  INFERENCE: true,
  DISPOSED: true,
};

test('every code of native errors is one of the library, but the one that aborts answer for', () => {
  const unknown = addon()
    .errorCodes()
    .filter((code) => !Object.hasOwn(codes, code));
  expect(unknown).toEqual(['CANCELLED']);
});
