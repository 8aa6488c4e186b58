import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FsynError } from '../../lib/errors.js';
import { CurveMoments, ResultDigest } from '../../lib/report/digest.js';
import type { BenchmarkRecord, MeasuredRecord } from '../../lib/report/record.js';
import type { Measure } from '../../lib/report/row-measures.js';
import { type FixtureOptions, fixtureRecords } from './fixture.js';

function digestOf(records: Iterable<BenchmarkRecord>, settings?: string): ResultDigest {
  const digest = new ResultDigest({ settings });
  let line = 0;
  for (const record of records) digest.add(record, `rows.jsonl:${++line}`);
  digest.finish('rows.jsonl');
  return digest;
}

const small: Partial<FixtureOptions> = { samples: 5, datasets: ['presence'] };
const rows = (options: Partial<FixtureOptions> = small) => [...fixtureRecords(options)];
const ok = (record: BenchmarkRecord) => record as MeasuredRecord;

function expectResultsError(work: () => unknown, message: RegExp): void {
  expect(work).toThrow(FsynError);
  expect(work).toThrow(message);
}

describe('digest of result rows', () => {
  it('keeps every number where its row said', () => {
    const records = rows();
    const group = [...digestOf(records).groups.values()][0];
    for (const record of records) {
      const { synergy, image, text } = ok(record);
      const values: Partial<Record<Measure, number>> = {
        raw: synergy.raw.mean,
        clipped: synergy.clipped.mean,
        imageSrg: image.srg,
        normalisedTextSrg: text.normalisedSrg,
      };
      const sample = group.samples.indexOf(record.sample);
      for (const [measure, value] of Object.entries(values)) {
        const column = group.explainers.get(record.explainer)!.column(measure as Measure, 5);
        expect(column[sample]).toBe(value);
      }
    }
  });

  it('leaves NaN and the reason where a row failed', () => {
    const group = [...digestOf(rows({ ...small, failEvery: 2 })).groups.values()][0];
    const last = group.explainers.get('attn-lrp')!;
    expect([...last.failures.keys()]).toEqual([0, 2, 4]);
    expect([...last.column('raw', 5)].map(Number.isNaN)).toEqual([true, false, true, false, true]);
    expect(last.curves.get('imageInsertion')!.count).toBe(2);
  });

  it('folds curves to mean and variance, in one part or merged from several', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 2, maxLength: 30 }),
        fc.nat(30),
        (values, cut) => {
          const whole = new CurveMoments(1);
          const [left, right] = [new CurveMoments(1), new CurveMoments(1)];
          for (const [i, value] of values.entries()) {
            whole.add([value]);
            (i < cut ? left : right).add([value]);
          }
          left.merge(right);
          const mean = values.reduce((a, b) => a + b) / values.length;
          const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
          for (const moments of [whole, left]) {
            expect(moments.count).toBe(values.length);
            expect(moments.mean[0]).toBeCloseTo(mean, 10);
            expect(moments.standardError(0)).toBeCloseTo(Math.sqrt(variance / values.length), 10);
          }
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it('counts the row with the index when a run asked for it later, in either order', () => {
    const without = rows({ ...small, shapleyEvery: 0 });
    const beside = rows({ ...small, shapleyEvery: 1 });
    for (const records of [
      [...without, ...beside],
      [...beside, ...without],
    ]) {
      const group = [...digestOf(records).groups.values()][0];
      expect(group.shapleyRows).toHaveLength(beside.length);
      expect(group.explainers.get('random')!.curves.get('textDeletion')!.count).toBe(5);
    }
  });

  it('lets a measured row supersede a failed one', () => {
    const failed = rows({ ...small, failEvery: 1 });
    const group = [...digestOf([...failed, ok(rows()[5])]).groups.values()][0];
    expect([...group.explainers.get('attn-lrp')!.failures.keys()]).toEqual([1, 2, 3, 4]);
  });

  it('recovers what normalised variants were divided by', () => {
    const records = rows({ ...small, shapleyEvery: 1 });
    const group = [...digestOf(records).groups.values()][0];
    for (const [i, row] of group.shapleyRows.entries()) {
      const { raw, normalised } = ok(records[i]).synergy;
      expect(raw.mean / row.scale).toBeCloseTo(normalised.mean, 12);
    }
  });
});

describe('digest refuses', () => {
  it('a file without rows', () => {
    expectResultsError(() => digestOf([]), /rows\.jsonl holds no rows/);
  });

  it('rows of several settings, until one is chosen', () => {
    const mixed = [...rows(), ...rows({ ...small, settings: 'settings-two' })];
    expectResultsError(
      () => digestOf(mixed),
      /2 settings.*settings-one \(30 rows, first at rows\.jsonl:1\); settings-two \(30 rows, first at rows\.jsonl:31\).*--settings/,
    );
    expect(digestOf(mixed, 'settings-two').settings).toBe('settings-two');
    expectResultsError(() => digestOf(mixed, 'other'), /no rows with settings other/);
  });

  it('the same row twice, naming the line', () => {
    const records = rows();
    expectResultsError(
      () => digestOf([...records, records[2]]),
      /rows\.jsonl:31 repeats the row of random on sample "presence-0000"/,
    );
  });

  it('rows of another model or data version under the same name', () => {
    const records = rows();
    expectResultsError(
      () => digestOf([...records, { ...records[0], modelFingerprint: 'other', sample: 'new' }]),
      /rows\.jsonl:31: tiny-a on presence has model fingerprint other/,
    );
    expectResultsError(
      () => digestOf([...records, { ...records[0], datasetVersion: 'other', sample: 'new' }]),
      /dataset version other/,
    );
  });

  it('other steps', () => {
    const [first, second] = rows().map(ok);
    const three = [0, 0.5, 1];
    const unimodal = { ...second.image, insertion: three, deletion: three };
    const changed = {
      ...second,
      steps: three,
      image: unimodal,
      text: unimodal,
      synergy: { ...second.synergy, insertion: three, deletion: three },
      shapley: null,
    };
    expectResultsError(() => digestOf([first, changed]), /rows\.jsonl:2 has steps \[0, 0\.5, 1\]/);
  });

  it.each([
    ['a missing field', { text: undefined }, /expected an object for text but received undefined/],
    ['a status it does not know', { status: 'maybe' }, /'ok' or 'failed' for status/],
    [
      'a number that JSON could not hold',
      { corners: { full: null } },
      /finite number for corners\.full but received null/,
    ],
    ['a curve of the wrong length', { shapley: { auc: 0, curve: [1] } }, /11 numbers for shapley\.curve/],
    ['a row without its sample', { sample: '' }, /text for sample/],
    ['an error without a code', { status: 'failed', error: {} }, /text for error\.code/],
  ])('%s, naming line and field', (_, damage, message) => {
    const [first, second] = rows();
    const damaged = { ...second, ...damage } as unknown as BenchmarkRecord;
    expectResultsError(() => digestOf([first, damaged]), message);
    expectResultsError(() => digestOf([first, damaged]), /rows\.jsonl:2 is not a complete result row/);
  });
});
