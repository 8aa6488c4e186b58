import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tiedPairs } from '../../lib/cells/ranking.js';
import { analyse } from '../../lib/report/analysis.js';
import { ResultDigest } from '../../lib/report/digest.js';
import { ExplainerStyle } from '../../lib/report/explainer-style.js';
import { Pool } from '../../lib/report/pool.js';
import type { BenchmarkRecord, MeasuredRecord } from '../../lib/report/record.js';
import { gridTable, mapTable } from '../../lib/report/report-tables.js';
import type { ScopeAnalysis } from '../../lib/report/scope.js';
import { verdictOf } from '../../lib/report/verdict.js';
import { answerText, cautionText } from '../../lib/report/wording.js';
import { type FixtureOptions, fixtureRecords, syntheticExplainers } from './fixture.js';

describe('the share of tied pairs', () => {
  it('is that of counting them', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -2, max: 2 }), { maxLength: 12 }), (scores) => {
        let pairs = 0;
        let tied = 0;
        for (let a = 0; a < scores.length; a++)
          for (let b = 0; b < a; b++, pairs++) if (scores[a] === scores[b]) tied++;
        expect(tiedPairs(scores)).toBeCloseTo(pairs === 0 ? 0 : tied / pairs, 12);
      }),
    );
  });

  it('is 1 for every constant, zeros of both signs too, and 0 where nothing is equal', () => {
    expect([tiedPairs([0, -0, 0]), tiedPairs([0.1, 0.1]), tiedPairs([1, 2, 3])]).toEqual([1, 1, 0]);
    expect([tiedPairs([]), tiedPairs([7])]).toEqual([0, 0]);
  });
});

type Change = (record: MeasuredRecord, sample: number) => MeasuredRecord;

function scopeOf(options: Partial<FixtureOptions>, change: Change = (record) => record): ScopeAnalysis {
  const digest = new ResultDigest();
  const samples = new Map<string, number>();
  let line = 0;
  for (const record of fixtureRecords({ shapleyEvery: 0, ...options })) {
    const sample = samples.get(record.sample) ?? samples.size;
    samples.set(record.sample, sample);
    const row: BenchmarkRecord = record.status === 'ok' ? change(record, sample) : record;
    digest.add(row, `rows:${++line}`);
  }
  const pool = new Pool([...digest.groups.values()]);
  return analyse(pool, null, { resamples: 300, seed: 0, steps: digest.steps, explainSeconds: {} });
}

const style = new ExplainerStyle(
  syntheticExplainers.map(({ name }) => name),
  new Map(),
);
const zeros = (values: readonly number[]) => values.map(() => 0);
/** Gives an explainer maps of zeros on the wanted samples. */
const blank =
  (name: string, sides: readonly ('image' | 'text')[], wanted = (_sample: number) => true): Change =>
  (record, sample) => {
    if (record.explainer !== name || !wanted(sample)) return record;
    const attribution = { ...record.attribution };
    for (const side of sides) attribution[side] = zeros(attribution[side]);
    return { ...record, attribution };
  };
const mapsOf = (scope: ScopeAnalysis, name: string) =>
  scope.explainers.find((row) => row.name === name)!.maps;
const sayings = (scope: ScopeAnalysis) => {
  const verdict = verdictOf(scope);
  return { verdict, answer: answerText(verdict, scope, style), caution: cautionText(verdict, scope, style) };
};

describe('an explainer whose maps order nothing', () => {
  it('is counted, named and never the best, though its F_syn is the largest', () => {
    // Occlusion has the largest mean of the fixture.
    expect(verdictOf(scopeOf({})).best).toBe('occlusion');
    const scope = scopeOf({}, blank('occlusion', ['image']));
    expect(mapsOf(scope, 'occlusion')).toEqual({
      samples: 48,
      constantImage: 48,
      constantText: 0,
      constant: 48,
      tiedImage: 0,
      tiedText: 0,
    });
    const { verdict, answer, caution } = sayings(scope);
    expect(verdict.best).toBe('attn-lrp');
    expect(verdict.unordered).toEqual(['occlusion']);
    expect([...verdict.aboveRandom, ...verdict.tied]).not.toContain('occlusion');
    expect(answer).not.toContain('occlusion');
    expect(caution).toContain('occlusion on 48 of 48 samples');
    expect(scope.checks.find(({ id }) => id === 'maps-order-players')).toMatchObject({
      outcome: 'open',
      evidence: 'samples with a constant map: occlusion 48 of 48',
    });
    // The metric is not to blame. Agreement with the index is what this fixture leaves open.
    const settled = scopeOf({ shapleyEvery: 3 }, blank('occlusion', ['image']));
    expect(verdictOf(settled).trust).toBe('holds');
    const { body } = gridTable([{ title: 'all', scope }], style);
    expect(body.find(([name]) => name === 'occlusion')![1]).not.toContain('*');
    expect(body.find(([name]) => name === 'attn-lrp')![1]).toContain('*');
  });

  it('stays where half of its maps or more have an order, with its count', () => {
    const half = scopeOf(
      {},
      blank('occlusion', ['text'], (sample) => sample < 24),
    );
    expect(mapsOf(half, 'occlusion')).toMatchObject({ constantText: 24, constant: 24 });
    expect(verdictOf(half)).toMatchObject({ best: 'occlusion', unordered: [] });
    expect(mapTable(half, style).body).toEqual([['occlusion', '0', '24', '0', '0', '48']]);
    const more = scopeOf(
      {},
      blank('occlusion', ['text'], (sample) => sample < 25),
    );
    expect(verdictOf(more)).toMatchObject({ best: 'attn-lrp', unordered: ['occlusion'] });
  });

  it('is told from one whose maps are mostly tied', () => {
    const scope = scopeOf({}, (record) => {
      if (record.explainer !== 'occlusion') return record;
      // 36 players: one that stands out leaves 35 * 34 of 36 * 35 ordered pairs tied.
      const image = record.attribution.image.map((_, i) => (i === 3 ? 1 : 0));
      return { ...record, attribution: { ...record.attribution, image } };
    });
    expect(mapsOf(scope, 'occlusion')).toMatchObject({ constantImage: 0, tiedImage: 48, constant: 0 });
    expect(verdictOf(scope).best).toBe('occlusion');
  });

  it('leaves no answer where all are so', () => {
    const two = syntheticExplainers.filter(({ name }) => ['random', 'occlusion'].includes(name));
    const { answer, caution } = sayings(scopeOf({ explainers: two }, blank('occlusion', ['image', 'text'])));
    expect(answer).toBe('No explainer besides the controls orders the players.');
    expect(caution).toContain('occlusion on 48 of 48 samples');
  });

  it('is read from rows that say so and computed for rows of earlier versions', () => {
    const scope = scopeOf({}, (record) =>
      record.explainer === 'grad-cam' ? { ...record, ties: { image: 0.2, text: 1 } } : record,
    );
    expect(mapsOf(scope, 'grad-cam')).toMatchObject({ constantImage: 0, constantText: 48 });
    expect(mapsOf(scope, 'occlusion')).toMatchObject({ constantText: 0 });
  });
});

describe('nothing to compare with', () => {
  const only = (...names: string[]) => syntheticExplainers.filter(({ name }) => names.includes(name));

  it('makes no explainer the most faithful', () => {
    const alone = sayings(scopeOf({ explainers: only('occlusion') }));
    expect(alone.answer).toMatch(/^occlusion was compared with no other explainer; its F_syn is /u);
    const beside = sayings(scopeOf({ explainers: only('occlusion', 'random') }));
    expect(beside.answer).toMatch(/compared with no other explainer.*, above Random\.$/u);
    const { body } = gridTable([{ title: 'all', scope: scopeOf({ explainers: only('occlusion') }) }], style);
    expect(body[0][1]).not.toContain('*');
  });

  it('makes one sample no proof', () => {
    const scope = scopeOf({ samples: 1, datasets: ['presence'] });
    const { answer } = sayings(scope);
    expect(answer).toMatch(/^One sample cannot say who is faithful/u);
    const { body } = gridTable([{ title: 'all', scope }], style);
    expect(body.some((cells) => cells[1].includes('*'))).toBe(false);
  });

  it('leaves the most faithful to comparisons that tell all others apart', () => {
    const scope = scopeOf({ explainers: only('occlusion', 'grad-cam', 'random') });
    expect(sayings(scope).answer).toMatch(/^occlusion is the most faithful/u);
  });
});

describe('an Oracle', () => {
  const bothOracles = (wanted: (sample: number) => boolean): Change => {
    const one = blank('oracle', ['text'], wanted);
    const other = blank('anti-oracle', ['text'], wanted);
    return (record, sample) => other(one(record, sample), sample);
  };

  it('that knows one modality is none: its samples are left out and counted', () => {
    // Samples 0, 1, 4, 5, ... are grounded: 24 of 48.
    const scope = scopeOf(
      {},
      bothOracles((sample) => sample % 4 === 0),
    );
    expect(scope.oneSided).toBe(12);
    expect(scope.controls.map(({ samples }) => samples)).toEqual([12, 12, 12]);
    expect(scope.againstOracle.every(({ samples }) => samples === 12)).toBe(true);
    const check = scope.checks.find(({ id }) => id === 'oracle-above-random')!;
    expect(check.evidence).toContain('on 12 grounded samples');
    expect(check.evidence).toContain('besides 12 whose ground truth is in one modality only');
  });

  it('settles nothing where it knows one modality everywhere', () => {
    const scope = scopeOf(
      {},
      bothOracles(() => true),
    );
    for (const id of ['oracle-above-random', 'random-above-anti-oracle', 'oracle-above-anti-oracle']) {
      const check = scope.checks.find((entry) => entry.id === id)!;
      expect(check.outcome).toBe('open');
      expect(check.evidence).toContain('besides 24 whose');
    }
    expect(verdictOf(scope).aboveOracle).toEqual([]);
  });

  it('that explainers beat is said to be beaten, and not to be the true cause', () => {
    expect(sayings(scopeOf({})).caution).toBe('');
    const beaten = syntheticExplainers.map((explainer) =>
      explainer.name === 'oracle' ? { ...explainer, joint: 0.3 } : explainer,
    );
    const scope = scopeOf({ explainers: beaten, samples: 40 });
    const { verdict, caution } = sayings(scope);
    expect(verdict.aboveOracle).toEqual(['occlusion', 'attn-lrp']);
    expect(caution).toContain('Above Oracle on grounded samples: occlusion and attn-lrp.');
    expect(caution).toContain('Oracle is no upper bound here');
    for (const { claim } of scope.checks) expect(claim).not.toMatch(/true cause/u);
  });
});
