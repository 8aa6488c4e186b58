import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, FsynError } from '../errors.js';
import { readJsonLines } from './gallery.js';

/** Seconds and cell counts per sample, one JSON line each, beside the result rows. */
export const timingsFile = 'timings.jsonl';

/**
 * What run.json says about a run, as far as reports show it. Unknown keys are kept for the provenance table.
 */
export interface RunDescription {
  readonly models?: readonly { name: string; architecture?: string; fingerprint?: string }[];
  readonly datasets?: readonly { name: string; version?: string; size?: number }[];
  readonly explainers?: readonly {
    name: string;
    title?: string;
    reference?: string;
    /** Content hash of its file where it is no part of fsyn. */
    fingerprint?: string;
  }[];
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly versions?: Readonly<Record<string, string>>;
  /** How the run was asked for; `fsyn bench --config` reads it. */
  readonly invocation?: Readonly<Record<string, unknown>>;
  readonly machine?: unknown;
}

/**
 * Reads a results folder's run.json; null when there is none.
 *
 * @throws FsynError RESULTS when it is not a JSON object, or a field that reports read has another type
 */
export function readRunDescription(folder: string): RunDescription | null {
  const path = join(folder, 'run.json');
  return existsSync(path) ? readRunFile(path) : null;
}

/** Reads a run.json. @throws FsynError RESULTS as `readRunDescription` */
export function readRunFile(path: string): RunDescription {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new FsynError('RESULTS', `${path} is not JSON. ${remedy}`, { cause });
  }
  if (!isObject(value)) throw new FsynError('RESULTS', `${path} is not a JSON object. ${remedy}`);
  for (const [name, { expected, fits }] of Object.entries(fields)) {
    if (value[name] !== undefined && !fits(value[name]))
      throw new FsynError(
        'RESULTS',
        `${path}: expected ${expected} for ${name} but found ${describe(value[name])}. ${remedy}`,
      );
  }
  return value;
}

const remedy = '`fsyn bench --resume` with the options of the run writes it anew.';

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const named = {
  expected: 'a list of objects with a name',
  fits: (value: unknown) =>
    Array.isArray(value) && value.every((item) => isObject(item) && typeof item.name === 'string'),
};
const object = { expected: 'an object', fits: isObject };
const fields: Readonly<Record<string, { expected: string; fits: (value: unknown) => boolean }>> = {
  models: named,
  datasets: named,
  explainers: named,
  settings: object,
  versions: object,
  invocation: object,
};

/** Mean seconds per sample by model, dataset and explainer. */
export class Timings {
  readonly #sums = new Map<string, { seconds: number; samples: number }>();
  readonly #models = new Map<string, { evaluateSeconds: number; cells: number; samples: number }>();

  add(model: string, dataset: string, explainSeconds: Readonly<Record<string, number>>): void {
    for (const [explainer, seconds] of Object.entries(explainSeconds)) {
      if (!Number.isFinite(seconds)) continue;
      for (const scope of [dataset, null]) {
        const key = JSON.stringify([model, scope, explainer]);
        const entry = this.#sums.get(key) ?? { seconds: 0, samples: 0 };
        this.#sums.set(key, { seconds: entry.seconds + seconds, samples: entry.samples + 1 });
      }
    }
  }

  addEvaluation(model: string, evaluateSeconds: number, cells: number): void {
    const entry = this.#models.get(model) ?? { evaluateSeconds: 0, cells: 0, samples: 0 };
    this.#models.set(model, {
      evaluateSeconds: entry.evaluateSeconds + evaluateSeconds,
      cells: entry.cells + cells,
      samples: entry.samples + 1,
    });
  }

  /** Mean seconds that explainers took, by name. @param dataset null for all datasets */
  explainSeconds(model: string, dataset: string | null): Record<string, number> {
    const result: Record<string, number> = {};
    for (const [key, { seconds, samples }] of this.#sums) {
      const [itsModel, itsDataset, explainer] = JSON.parse(key) as [string, string | null, string];
      if (itsModel === model && itsDataset === dataset) result[explainer] = seconds / samples;
    }
    return result;
  }

  /** Sample runs timed, cells scored and seconds spent scoring them; null without timings of the model. */
  evaluation(model: string): { samples: number; cells: number; evaluateSeconds: number } | null {
    return this.#models.get(model) ?? null;
  }
}

/**
 * Reads a results folder's timings.jsonl; without it there are no times.
 *
 * @throws FsynError RESULTS naming file and line of one that has no times
 */
export async function readTimings(folder: string): Promise<Timings> {
  const timings = new Timings();
  for await (const { value, where } of readJsonLines(join(folder, timingsFile))) {
    if (!isTiming(value)) {
      throw new FsynError(
        'RESULTS',
        `${where} is not a timing: model, dataset and explainSeconds are needed. The file may be deleted: the report then has no times.`,
      );
    }
    const { model, dataset, explainSeconds, evaluateSeconds, cells } = value;
    timings.add(model, dataset, explainSeconds);
    if (typeof evaluateSeconds === 'number' && typeof cells === 'number')
      timings.addEvaluation(model, evaluateSeconds, cells);
  }
  return timings;
}

interface TimingLine {
  readonly model: string;
  readonly dataset: string;
  readonly explainSeconds: Readonly<Record<string, number>>;
  readonly evaluateSeconds?: unknown;
  readonly cells?: unknown;
}

/** Whether a parsed line holds the times of a sample. */
export function isTiming(value: unknown): value is TimingLine {
  return (
    isObject(value) &&
    typeof value.model === 'string' &&
    typeof value.dataset === 'string' &&
    isObject(value.explainSeconds)
  );
}
