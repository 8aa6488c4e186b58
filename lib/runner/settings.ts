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
  /**
   * Random orders per sample whose mean F_syn is chance; undefined for none, which leaves keys as they were
   * before there were any.
   */
  readonly chanceOrders: number | undefined;
  /** Whether only questions that need both modalities are measured: `true` or undefined. */
  readonly needsBoth: true | undefined;
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
  chanceOrders: undefined,
  needsBoth: undefined,
};

/** First 16 hex digits of the SHA-256 of a value's JSON. */
export function contentKey(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}
