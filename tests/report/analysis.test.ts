import { describe, expect, it } from 'vitest';
import { analyse } from '../../lib/report/analysis.js';
import { overallOutcome } from '../../lib/report/checks.js';
import { ResultDigest } from '../../lib/report/digest.js';
import { Pool } from '../../lib/report/pool.js';
import type { BenchmarkRecord, MeasuredRecord } from '../../lib/report/record.js';
import type { ScopeAnalysis } from '../../lib/report/scope.js';
import { verdictOf } from '../../lib/report/verdict.js';
import { kendall, spearman } from '../../lib/statistics/ranks.js';
import { type FixtureOptions, fixtureRecords, syntheticExplainers } from './fixture.js';

function analysisOf(
  options: Partial<FixtureOptions> = {},
  change = (record: BenchmarkRecord, _sample: number) => record,
): ScopeAnalysis {
  const digest = new ResultDigest();
  let line = 0;
  const samples = new Map<string, number>();
  for (const record of fixtureRecords(options)) {
    const sample = samples.get(record.sample) ?? samples.size;
    samples.set(record.sample, sample);
    digest.add(change(record, sample), `rows:${++line}`);
  }
  digest.finish('rows');
  const pool = new Pool([...digest.groups.values()]);
  return analyse(pool, null, {
    resamples: 300,
    seed: 0,
    steps: digest.steps,
    explainSeconds: { random: 0.25 },
  });
}

const row = (scope: ScopeAnalysis, name: string) => scope.explainers.find((entry) => entry.name === name)!;
const outcome = (scope: ScopeAnalysis, id: string) => scope.checks.find((check) => check.id === id)?.outcome;
const measured = (options: Partial<FixtureOptions> = {}) =>
  [...fixtureRecords(options)].filter((record): record is MeasuredRecord => record.status === 'ok');
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('analysis of synthetic results', () => {
  const scope = analysisOf();

  it('has the means of the rows', () => {
    for (const { name } of syntheticExplainers) {
      const own = measured().filter((record) => record.explainer === name);
      expect(row(scope, name).means.raw.estimate).toBeCloseTo(mean(own.map((r) => r.synergy.raw.mean)), 12);
      expect(row(scope, name).means.textSrg.estimate).toBeCloseTo(mean(own.map((r) => r.text.srg)), 12);
      expect(row(scope, name).samples).toBe(48);
      const { low, estimate, high } = row(scope, name).means.raw;
      expect(low).toBeLessThan(estimate);
      expect(estimate).toBeLessThan(high);
    }
    expect(row(scope, 'random').secondsPerSample).toBe(0.25);
    expect(row(scope, 'oracle').secondsPerSample).toBeNaN();
  });

  it('puts every explainer between chance and the best order, on the same samples', () => {
    const random = measured().filter((record) => record.explainer === 'random');
    const own = measured().filter((record) => record.explainer === 'occlusion');
    const samples = new Map<string, number>();
    for (const record of measured())
      samples.set(record.sample, Math.max(samples.get(record.sample) ?? -9, record.synergy.raw.mean));
    const excess = mean(own.map((r, i) => r.synergy.raw.mean - random[i].synergy.raw.mean));
    const way = mean(random.map((r) => samples.get(r.sample)! - r.synergy.raw.mean));
    expect(scope.scale).toMatchObject({ source: 'random', orders: 1, samples: 48 });
    const found = scope.scale!.rows.find(({ name }) => name === 'occlusion')!;
    expect(found.excess.estimate).toBeCloseTo(excess, 12);
    expect(found.share.estimate).toBeCloseTo(excess / way, 12);
    const halves = found.insertion.estimate + found.deletion.estimate;
    expect(halves / 2).toBeCloseTo(excess, 12);
    // All curves end in one number, so that only half of the last step but one is cut off.
    const last = mean(
      own.map((r, i) => {
        const at9 = (one: MeasuredRecord) => one.synergy.insertion[9] + one.synergy.deletion[9];
        return (at9(r) - at9(random[i])) / 40;
      }),
    );
    expect(found.open.estimate).toBeCloseTo(excess - last, 12);
    expect(found.share.low).toBeLessThan(found.share.estimate);
  });

  it('takes chance from random orders where rows have them', () => {
    const curve = (value: number) => Array.from({ length: 11 }, () => value);
    const chance = { orders: 4, insertion: curve(0.1), deletion: curve(0.3), best: 5 };
    const changed = analysisOf({}, (record) => (record.status === 'ok' ? { ...record, chance } : record));
    expect(changed.scale).toMatchObject({ source: 'orders', orders: 4 });
    expect(changed.scale!.chance.estimate).toBeCloseTo(0.2, 12);
    expect(changed.scale!.best.estimate).toBeCloseTo(5, 12);
    const found = changed.scale!.rows.find(({ name }) => name === 'random')!;
    expect(found.excess.estimate).toBeCloseTo(row(changed, 'random').means.raw.estimate - 0.2, 12);
    expect(analysisOf({ explainers: syntheticExplainers.slice(3) }).scale).toBeNull();
  });

  it('splits by what the model needed, from the corners alone', () => {
    const counts = scope.behaviour;
    expect(Object.values(counts).reduce((a, b) => a + b, 0)).toBe(48);
    // Prior questions of the fixture move the answer by less than 0.1, some by less than the floor.
    expect(counts.both).toBeGreaterThanOrEqual(24);
    expect(counts.neither).toBe(48 - counts.both);
    const own = measured().filter((r) => r.explainer === 'occlusion' && r.corners.full - 0.1 >= 0.05);
    expect(row(scope, 'occlusion').byBehaviour.both).toMatchObject({ samples: own.length });
    expect(row(scope, 'occlusion').byBehaviour.both.estimate).toBeCloseTo(
      mean(own.map((r) => r.synergy.raw.mean)),
      12,
    );
    const text = analysisOf({}, (record) =>
      record.status === 'ok'
        ? { ...record, corners: { ...record.corners, textOnly: record.corners.full } }
        : record,
    );
    expect(text.behaviour).toEqual({ ...counts, both: 0, text: counts.both });
    expect(outcome(text, 'enough-need-both')).toBe('open');
  });

  it('finds the order that was put in, and says which modality contradicts it', () => {
    expect(verdictOf(scope).aboveRandom).toEqual(['occlusion', 'attn-lrp', 'grad-cam']);
    expect(row(scope, 'grad-cam').ranks!.text.estimate).toBe(4);
    expect(row(scope, 'grad-cam').ranks!.image.estimate).toBe(2);
    expect(row(scope, 'oracle').ranks).toBeNull();
    const ranked = scope.explainers.filter((entry) => entry.ranks);
    const tau = kendall(
      ranked.map((entry) => entry.means.imageSrg.estimate),
      ranked.map((entry) => entry.means.textSrg.estimate),
    );
    expect(scope.tau.withRandom.estimate).toBe(tau);
  });

  it('lets the metric pass when the controls are in order and the index agrees', () => {
    expect(scope.checks.map((check) => check.outcome)).toEqual(new Array(8).fill('holds'));
    expect(overallOutcome(scope.checks)).toBe('holds');
    expect(verdictOf(scope).trust).toBe('holds');
  });

  it('correlates the same variant on both sides, with and without the endpoint', () => {
    const rows = measured().filter((record) => record.shapley !== null && record.grounding === 'grounded');
    expect(scope.agreement).toMatchObject({ rows: rows.length, questions: 'grounded' });
    const raw = scope.agreement!.variants.find((entry) => entry.variant === 'raw' && entry.part === 'mean')!;
    expect(raw.spearman.estimate).toBeCloseTo(
      spearman(
        rows.map((r) => r.synergy.raw.mean),
        rows.map((r) => r.shapley!.auc),
      ),
      12,
    );
    const ends = (r: MeasuredRecord) => 0.05 * r.shapley!.curve[10];
    expect(raw.spearmanWithoutEndpoint.estimate).toBeCloseTo(
      spearman(
        rows.map((r) => r.synergy.raw.mean - ends(r)),
        rows.map((r) => r.shapley!.auc - ends(r)),
      ),
      12,
    );
    const last = scope.agreement!.steps.at(-1)!;
    expect([last.shared, last.mean.estimate]).toEqual([true, 1]);
    expect(scope.agreement!.steps).toHaveLength(10);
  });

  it('sets the index beside F_syn of the same rows, which are grounded', () => {
    const rows = measured().filter(
      (record) =>
        record.explainer === 'occlusion' && record.shapley !== null && record.grounding === 'grounded',
    );
    const { shapley, means } = row(scope, 'occlusion');
    expect(shapley!.rows).toBe(rows.length);
    expect(shapley!.mean).toBeCloseTo(mean(rows.map((r) => r.shapley!.auc)), 12);
    expect(shapley!.synergy).toBeCloseTo(mean(rows.map((r) => r.synergy.raw.mean)), 12);
    expect(shapley!.synergy).not.toBeCloseTo(means.raw.estimate, 2);
    const all = measured().filter((record) => record.shapley !== null);
    expect(scope.agreement!.leftOut).toBe(all.length - scope.agreement!.rows);
  });

  it('says so where the rows with the index need one modality, or where nobody knows', () => {
    const prior = analysisOf({ shapleyEvery: 4, groundings: ['text-prior', 'grounded'] });
    expect(prior.agreement).toMatchObject({ questions: 'prior', leftOut: 0 });
    expect(outcome(prior, 'agrees-with-shapley')).toBe('open');
    expect(outcome(prior, 'orders-explainers-as-shapley')).toBe('open');
    const unknown = analysisOf({ groundings: [null] });
    expect(unknown.agreement).toMatchObject({ questions: 'any', leftOut: 0 });
    expect(outcome(unknown, 'agrees-with-shapley')).toBe('holds');
  });

  it('is the same every time', () => {
    expect(analysisOf()).toEqual(scope);
  });
});

describe('analysis tells when the metric is not to be trusted', () => {
  it('fails when Oracle scores below Random', () => {
    const swapped = syntheticExplainers.map((explainer) =>
      explainer.name === 'oracle' ? { ...explainer, joint: -0.8 } : explainer,
    );
    const scope = analysisOf({ explainers: swapped });
    expect(outcome(scope, 'oracle-above-random')).toBe('fails');
    expect(verdictOf(scope).trust).toBe('fails');
  });

  it('does not call grounded questions separated when they are not', () => {
    const scope = analysisOf({ separation: 0, samples: 60 });
    const entry = scope.separation.find(({ score, measure }) => score === 'explainers' && measure === 'raw')!;
    // 60 against 60 samples: the standard deviation of the area under no separation is 0.053.
    expect(Math.abs(entry.auc.estimate - 0.5)).toBeLessThan(0.21);
    expect(outcome(scope, 'grounded-above-prior')).not.toBe('holds');
  });

  it('stays open without the index, without controls or with too few samples', () => {
    const scope = analysisOf({
      shapleyEvery: 0,
      explainers: syntheticExplainers.filter(({ name }) => !name.includes('oracle')),
    });
    expect(scope.agreement).toBeNull();
    expect(row(scope, 'occlusion').shapley).toBeNull();
    expect(outcome(scope, 'agrees-with-shapley')).toBe('open');
    expect(outcome(scope, 'oracle-above-random')).toBe('open');
    expect(verdictOf(scope).trust).toBe('open');
    const few = analysisOf({ samples: 2, datasets: ['presence'] });
    expect(few.checks.map((check) => check.outcome)).toEqual([...new Array(7).fill('open'), 'holds']);
  });

  it('does not tell equal explainers apart', () => {
    const twins = ['one', 'two', 'random'].map((name) => ({
      ...syntheticExplainers[2],
      name,
    }));
    const scope = analysisOf({ explainers: twins });
    expect(scope.pairs.map((pair) => pair.verdict)).toEqual([0, 0, 0]);
    const verdict = verdictOf(scope);
    expect(verdict.bestBeatsRandom).toBe(false);
    expect(verdict.tied).toHaveLength(1);
  });
});

/** A row of a model that does not look at the picture: every curve is zero. */
function dead(record: BenchmarkRecord): BenchmarkRecord {
  if (record.status !== 'ok') return record;
  const zeros = record.synergy.insertion.map(() => 0);
  const nothing = { insertion: 0, deletion: 0, mean: 0 };
  return {
    ...record,
    synergy: {
      ...record.synergy,
      insertion: zeros,
      deletion: zeros,
      raw: nothing,
      normalised: nothing,
      clipped: nothing,
    },
    shapley: record.shapley && { ...record.shapley, curve: zeros, auc: 0 },
  };
}

describe('analysis of rows on which nothing happens', () => {
  const options = { shapleyEvery: 1, samples: 8, groundings: ['grounded'] };

  it('finds no order in dead rows, for any number of explainers', () => {
    for (let count = 3; count <= syntheticExplainers.length; count++) {
      const scope = analysisOf({ ...options, explainers: syntheticExplainers.slice(0, count) }, dead);
      for (const id of ['agrees-with-shapley', 'orders-explainers-as-shapley']) {
        const check = scope.checks.find((entry) => entry.id === id)!;
        expect(check.outcome).toBe('open');
        expect(check.evidence).toMatch(/0 of 5, besides 16 where/);
      }
      expect(scope.agreement!.withinSample).toMatchObject({ estimate: Number.NaN, samples: 0, constant: 16 });
      expect(scope.agreement!.variants.every((entry) => Number.isNaN(entry.spearman.estimate))).toBe(true);
      expect(scope.agreement!.variants.every((entry) => Number.isNaN(entry.pearson.estimate))).toBe(true);
      expect(scope.agreement!.explainerOrder.estimate).toBeNaN();
    }
  });

  it('does not count dead samples as agreement beside live ones', () => {
    const living = analysisOf(options).agreement!;
    // 16 samples: 4 live ones are too few, whatever the dead ones add.
    const scope = analysisOf(options, (record, sample) => (sample < 12 ? dead(record) : record));
    expect(scope.agreement).toMatchObject({ samples: 16, liveSamples: 4 });
    expect(scope.agreement!.withinSample).toMatchObject({ samples: 4, constant: 12 });
    expect(scope.agreement!.withinSample.estimate).toBeLessThan(1);
    expect(outcome(scope, 'agrees-with-shapley')).toBe('open');
    expect(outcome(scope, 'orders-explainers-as-shapley')).toBe('open');
    expect(living).toMatchObject({ samples: 16, liveSamples: 16 });
    expect(living.withinSample.constant).toBe(0);
  });

  it('leaves out a sample whose explainers differ in the shared endpoint only', () => {
    // Values whose trapezoids round: subtracting the endpoint's share would leave differences of the last
    // digit.
    const scope = analysisOf(options, (record) => {
      const still = dead(record);
      if (still.status !== 'ok' || !still.shapley) return still;
      const last = 0.1 + 0.07 * still.explainer.length;
      return {
        ...still,
        synergy: {
          ...still.synergy,
          insertion: still.synergy.insertion.with(-1, last),
          deletion: still.synergy.deletion.with(-1, last),
        },
        shapley: { ...still.shapley, curve: still.shapley.curve.with(-1, last) },
      };
    });
    expect(scope.agreement!.withinSample).toMatchObject({ samples: 0, constant: 16 });
  });
});

describe('analysis of awkward results', () => {
  it('compares failed explainers only on what they have', () => {
    const scope = analysisOf({ failEvery: 4 });
    const last = row(scope, 'attn-lrp');
    expect([last.samples, last.failed]).toEqual([36, 12]);
    expect(last.failures).toEqual([
      { code: 'OUT_OF_MEMORY', count: 12, message: 'The gradient <graph> did not fit.' },
    ]);
    const pair = scope.pairs.find(({ one, other }) => one === 'random' && other === 'attn-lrp')!;
    expect(pair.samples).toBe(36);
    expect(scope.friedman!.blocks).toBe(36);
    expect(row(scope, 'random').samples).toBe(48);
  });

  it('gives intervals some width where every dataset has one sample of a kind', () => {
    const scope = analysisOf({ samples: 4, datasets: ['a', 'b', 'c'], shapleyEvery: 4 });
    const prior = row(scope, 'occlusion').byGrounding['text-prior'];
    expect(prior.samples).toBe(3);
    expect(prior.high).toBeGreaterThan(prior.low);
    const rho = scope.agreement!.variants[0].pearson;
    expect(rho.high).toBeGreaterThan(rho.low);
  });

  it('survives an explainer that failed everywhere', () => {
    const scope = analysisOf({ failEvery: 1 });
    const last = row(scope, 'attn-lrp');
    expect([last.samples, last.failed, last.ranks]).toEqual([0, 48, null]);
    expect(last.means.raw.estimate).toBeNaN();
    expect(row(scope, 'occlusion').ranks!.synergy.estimate).toBe(1);
    expect(scope.pairs.every((pair) => pair.one !== 'attn-lrp' && pair.other !== 'attn-lrp')).toBe(true);
  });

  it('gives tied explainers shared ranks', () => {
    const scope = analysisOf({ ties: true, samples: 8 });
    for (const entry of scope.explainers) {
      if (!entry.ranks) continue;
      expect(entry.ranks.synergy.estimate).toBeGreaterThanOrEqual(1);
      expect(entry.ranks.synergy.estimate).toBeLessThanOrEqual(4);
    }
    const total = scope.explainers.reduce((sum, entry) => sum + (entry.meanRanks?.synergy ?? 0), 0);
    expect(total).toBeCloseTo(1 + 2 + 3 + 4, 10);
  });

  it('says nothing about rankings of one explainer', () => {
    const scope = analysisOf({ explainers: [syntheticExplainers[3]] });
    expect(scope.friedman).toBeNull();
    expect(scope.pairs).toEqual([]);
    expect(scope.tau.withRandom.estimate).toBeNaN();
    expect(verdictOf(scope)).toMatchObject({ best: 'occlusion', bestBeatsRandom: null, tied: [] });
  });
});
