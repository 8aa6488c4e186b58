import { describe, FsynError } from '../errors.js';
import type { ValueBounds } from '../metrics/bounds.js';
import type { BenchmarkRecord, PerturbationRecord } from './record.js';

const identifying = [
  'key',
  'model',
  'modelFingerprint',
  'dataset',
  'datasetVersion',
  'sample',
  'explainer',
  'settings',
] as const;

/**
 * Checks that a parsed row has everything a report reads, so that a damaged or foreign file is named and
 * never half counted.
 *
 * @param where file and line, for the message
 * @throws FsynError RESULTS naming the field
 */
export function checkRecord(record: BenchmarkRecord, where: string): void {
  const check = new RowCheck(where);
  check.object('row', record);
  for (const name of identifying) check.text(name, record[name]);
  if (record.status === 'failed') {
    check.object('error', record.error);
    check.text('error.code', record.error.code);
    return;
  }
  if (record.status !== 'ok')
    check.fail('status', "'ok' or 'failed'", (record as { status: unknown }).status);
  check.object('answer', record.answer);
  check.object('attribution', record.attribution);
  check.numbers('attribution.image', record.attribution.image);
  check.numbers('attribution.text', record.attribution.text);
  if (record.wordRegions !== undefined) {
    const { regions, values, standardErrors } = record.wordRegions;
    check.numbers('wordRegions.regions', regions, record.attribution.image.length);
    const pairs = (Math.max(...regions) + 1) * record.attribution.text.length;
    check.numbers('wordRegions.values', values, pairs);
    const known = Array.isArray(standardErrors) && standardErrors.map((error) => error ?? 0);
    check.numbers('wordRegions.standardErrors', known, pairs);
  }
  if (!Array.isArray(record.textLabels)) check.fail('textLabels', 'a list of texts', record.textLabels);
  check.numbers('steps', record.steps);
  const points = record.steps.length;
  if (points < 2) check.fail('steps', 'at least 2 fractions', record.steps);
  check.object('corners', record.corners);
  for (const name of ['full', 'textOnly', 'imageOnly', 'empty'] as const)
    check.number(`corners.${name}`, record.corners[name]);
  for (const name of ['image', 'text'] as const) checkPerturbation(check, name, record[name], points);
  check.object('synergy', record.synergy);
  check.numbers('synergy.insertion', record.synergy.insertion, points);
  check.numbers('synergy.deletion', record.synergy.deletion, points);
  for (const variant of ['raw', 'normalised', 'clipped'] as const) {
    check.object(`synergy.${variant}`, record.synergy[variant]);
    for (const part of ['insertion', 'deletion', 'mean'] as const)
      check.number(`synergy.${variant}.${part}`, record.synergy[variant][part]);
  }
  if (record.shapley !== null) {
    check.object('shapley', record.shapley);
    check.number('shapley.auc', record.shapley.auc);
    check.numbers('shapley.curve', record.shapley.curve, points);
  }
  if (record.bounds !== undefined) checkBounds(check, record.bounds);
  if (record.chance !== undefined) {
    check.object('chance', record.chance);
    check.numbers('chance.insertion', record.chance.insertion, points);
    check.numbers('chance.deletion', record.chance.deletion, points);
    check.number('chance.best', record.chance.best);
  }
}

function checkPerturbation(check: RowCheck, name: string, value: PerturbationRecord, points: number): void {
  check.object(name, value);
  check.numbers(`${name}.insertion`, value.insertion, points);
  check.numbers(`${name}.deletion`, value.deletion, points);
  check.number(`${name}.srg`, value.srg);
  check.number(`${name}.normalisedSrg`, value.normalisedSrg);
}

function checkBounds(check: RowCheck, bounds: ValueBounds): void {
  check.object('bounds', bounds);
  for (const name of ['bounded', 'cells', 'noise', 'standardError'] as const)
    check.number(`bounds.${name}`, bounds[name]);
  for (const name of ['insertion', 'deletion', 'mean', 'imageSrg', 'textSrg'] as const) {
    check.object(`bounds.${name}`, bounds[name]);
    check.number(`bounds.${name}.low`, bounds[name].low);
    check.number(`bounds.${name}.high`, bounds[name].high);
  }
}

class RowCheck {
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }

  fail(field: string, expected: string, received: unknown): never {
    throw new FsynError(
      'RESULTS',
      `${this.#where} is not a complete result row: expected ${expected} for ${field} but received ${describe(received)}.`,
    );
  }

  object(field: string, value: unknown): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      this.fail(field, 'an object', value);
  }

  text(field: string, value: unknown): void {
    if (typeof value !== 'string' || value === '') this.fail(field, 'text', value);
  }

  number(field: string, value: unknown): void {
    if (typeof value !== 'number' || !Number.isFinite(value)) this.fail(field, 'a finite number', value);
  }

  numbers(field: string, value: unknown, length?: number): void {
    if (!Array.isArray(value)) this.fail(field, 'an array of numbers', value);
    if (length !== undefined && value.length !== length) this.fail(field, `${length} numbers`, value);
    for (const [i, item] of value.entries()) this.number(`${field}[${i}]`, item);
  }
}
