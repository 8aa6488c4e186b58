import { createHash } from 'node:crypto';
import type { FaithfulnessOptions } from '../metrics/faithfulness.js';
import { defaultSteps } from '../metrics/steps.js';
import type { PrepareOptions } from '../vlm/types.js';

/** Everything besides model, sample and explainer that decides a result; part of every row's key. */
export interface BenchmarkSettings {
  readonly seed: number;
  readonly steps: readonly number[];
  readonly scoring: FaithfulnessOptions['scoring'];
  readonly compat: FaithfulnessOptions['compat'];
  readonly floor: number;
  readonly baseline: PrepareOptions['baseline'];
  readonly blurRadius: PrepareOptions['blurRadius'];
  readonly blurUnit: PrepareOptions['blurUnit'];
  readonly textMasking: PrepareOptions['textMasking'];
  readonly includeInstruction: boolean;
  readonly includeTemplate: boolean;
  readonly shapleyGroups: number;
  readonly shapleyPartitions: number;
}

export const defaultSettings: BenchmarkSettings = {
  seed: 0,
  steps: defaultSteps,
  scoring: 'probability',
  compat: 'none',
  floor: 0.05,
  baseline: undefined,
  blurRadius: undefined,
  blurUnit: undefined,
  textMasking: undefined,
  includeInstruction: false,
  includeTemplate: false,
  shapleyGroups: 6,
  shapleyPartitions: 2,
};

/** First 16 hex digits of the SHA-256 of a value's JSON. */
export function contentKey(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
