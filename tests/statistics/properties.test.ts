import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootstrapMean } from '../../lib/statistics/bootstrap.js';
import { clusteredCorrelation, correlator, withinClusterSpearman } from '../../lib/statistics/correlation.js';
import { Random } from '../../lib/statistics/random.js';
import { kendall, spearman } from '../../lib/statistics/ranks.js';
import { intervalOfMeans, joinSmallStrata, resample, resampleMeans } from '../../lib/statistics/resample.js';
import { rocAuc, rocAucs } from '../../lib/statistics/separation.js';
import { friedmanTest, holm, signedRankTest } from '../../lib/statistics/tests.js';

const numbers = (minLength: number, maxLength = 40) =>
  fc.array(fc.integer({ min: -20, max: 20 }), { minLength, maxLength });
const runs = { seed: 5, numRuns: 60 };

describe('signed-rank test', () => {
  it('does not care about signs as a whole, scale or zeros', () => {
    fc.assert(
      fc.property(numbers(1, 70), (values) => {
        const { pValue } = signedRankTest(values);
        expect(pValue).toBeGreaterThan(0);
        expect(pValue).toBeLessThanOrEqual(1);
        expect(signedRankTest(values.map((x) => -x)).pValue).toBeCloseTo(pValue, 12);
        expect(signedRankTest(values.map((x) => 3 * x)).pValue).toBe(pValue);
        expect(signedRankTest([...values, 0, 0]).pValue).toBe(pValue);
      }),
      runs,
    );
  });

  it('changes little where the exact distribution hands over to the normal one', () => {
    const random = new Random(4);
    const fifty = Array.from({ length: 50 }, () => random.uniform() - 0.4);
    const exact = signedRankTest(fifty).pValue;
    // One more difference of the smallest magnitude shifts the rank sums by one each: a nearly equal test.
    const approximate = signedRankTest([...fifty, 1e-9]).pValue;
    expect(Math.abs(exact - approximate)).toBeLessThan(0.02);
  });

  it('has the size that it says under the null', () => {
    const random = new Random(9);
    const trials = 2000;
    let rejected = 0;
    for (let t = 0; t < trials; t++) {
      if (signedRankTest(Array.from({ length: 20 }, () => random.uniform() - 0.5)).pValue <= 0.05) rejected++;
    }
    // Binomial(2000, <= 0.05) has standard deviation 9.7; six of them above the mean.
    expect(rejected).toBeLessThan(160);
    expect(rejected).toBeGreaterThan(50);
  });

  it('answers 1 for no differences and refuses NaN', () => {
    expect(signedRankTest([0, 0])).toEqual({ n: 0, positiveRanks: 0, pValue: 1 });
    expect(() => signedRankTest([1, Number.NaN])).toThrow(/differences/);
  });
});

describe('Holm correction', () => {
  it('never lowers a p-value, keeps order and leaves NaN out', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 12 }),
        (p) => {
          const adjusted = holm(p);
          const withGap = holm([...p, Number.NaN]);
          expect([...withGap.subarray(0, p.length)]).toEqual([...adjusted]);
          expect(withGap[p.length]).toBeNaN();
          for (let i = 0; i < p.length; i++) {
            expect(adjusted[i]).toBeGreaterThanOrEqual(p[i]);
            expect(adjusted[i]).toBeLessThanOrEqual(1);
            for (let j = 0; j < p.length; j++)
              if (p[i] < p[j]) expect(adjusted[i]).toBeLessThanOrEqual(adjusted[j]);
          }
        },
      ),
      runs,
    );
  });
});

describe('Friedman test', () => {
  it('finds full agreement, and none to speak of where all is tied', () => {
    const ordered = friedmanTest([
      [1, 5, 2],
      [2, 6, 3],
      [3, 7, 9],
    ]);
    expect(ordered.concordance).toBeCloseTo(1, 12);
    expect([...ordered.meanRanks]).toEqual([3, 2, 1]);
    const tied = friedmanTest([
      [1, 1],
      [1, 1],
    ]);
    expect([tied.statistic, tied.pValue, tied.concordance]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect([...tied.meanRanks]).toEqual([1.5, 1.5]);
  });

  it('refuses ragged and single columns', () => {
    expect(() => friedmanTest([[1, 2], [1]])).toThrow(/columns/);
    expect(() => friedmanTest([[1, 2]])).toThrow(/columns/);
  });
});

describe('ROC area', () => {
  it('mirrors when the sides are swapped, and counts pairs', () => {
    fc.assert(
      fc.property(numbers(1, 15), numbers(1, 15), (positive, negative) => {
        const { estimate } = rocAuc(positive, negative, { resamples: 20 });
        let wins = 0;
        for (const p of positive) for (const q of negative) wins += p > q ? 1 : p === q ? 0.5 : 0;
        expect(estimate).toBeCloseTo(wins / (positive.length * negative.length), 12);
        expect(rocAuc(negative, positive, { resamples: 20 }).estimate).toBeCloseTo(1 - estimate, 12);
      }),
      runs,
    );
  });

  it('has no value without two sides', () => {
    expect(rocAuc([1, 2], []).estimate).toBeNaN();
    expect(rocAuc([], []).estimate).toBeNaN();
  });

  it('leaves missing scores out of their own column only', () => {
    const isPositive = Uint8Array.of(1, 1, 0, 0, 1);
    const full = Float64Array.of(3, 1, 2, 0, 5);
    const gaps = Float64Array.of(3, 1, 2, Number.NaN, 5);
    const [one, other] = rocAucs([full, gaps], isPositive, { resamples: 50 });
    expect([one.estimate, one.positives, one.negatives]).toEqual([5 / 6, 3, 2]);
    expect([other.estimate, other.positives, other.negatives]).toEqual([2 / 3, 3, 1]);
    expect(other.low).toBeNaN();
  });
});

describe('resampling', () => {
  it('keeps every stratum at its size', () => {
    const strata = [0, 0, 0, 1, 1, 2];
    resample(6, { resamples: 50, seed: 1, strata }, (weights) => {
      const totals = [0, 0, 0];
      for (const [unit, weight] of weights.entries()) totals[strata[unit]] += weight;
      expect(totals).toEqual([3, 2, 1]);
    });
  });

  it('joins strata too small to vary, and only those', () => {
    const sizes = (strata: number[], fewest: number) => {
      const joined = joinSmallStrata(strata, fewest);
      return [...new Set(joined)].map((stratum) => joined.filter((other) => other === stratum).length).sort();
    };
    expect(sizes([0, 0, 0, 1, 1, 1], 3)).toEqual([3, 3]);
    expect(sizes([0, 1, 2, 3, 3, 3], 3)).toEqual([3, 3]);
    expect(sizes([0, 1, 1, 1, 1], 3)).toEqual([5]);
    expect(sizes([4, 7], 5)).toEqual([2]);
    expect(sizes([], 5)).toEqual([]);
  });

  it('gives means of present values, and intervals like the plain bootstrap', () => {
    const random = new Random(2);
    const column = Float64Array.from({ length: 60 }, () => random.uniform());
    const gaps = column.map((value, i) => (i % 5 === 0 ? Number.NaN : value));
    const source = resampleMeans([column, gaps], { resamples: 1500, seed: 3 });
    const one = intervalOfMeans(source, (means) => means[0]);
    const plain = bootstrapMean(column, { resamples: 1500, seed: 8 });
    expect(one.estimate).toBeCloseTo(plain.estimate, 14);
    // Monte Carlo error of a 2.5 % quantile from 1500 draws is about 0.08 standard errors (0.003 here).
    expect(Math.abs(one.low - plain.low)).toBeLessThan(0.015);
    expect(Math.abs(one.high - plain.high)).toBeLessThan(0.015);
    const present = [...gaps].filter((value) => !Number.isNaN(value));
    expect(source.means[1]).toBeCloseTo(present.reduce((a, b) => a + b) / present.length, 14);
  });

  it('pairs columns: a constant difference has no spread', () => {
    const random = new Random(6);
    const a = Float64Array.from({ length: 30 }, () => random.uniform());
    const b = a.map((x) => x + 0.25);
    const { estimate, low, high } = intervalOfMeans(resampleMeans([a, b]), (means) => means[1] - means[0]);
    for (const value of [estimate, low, high]) expect(value).toBeCloseTo(0.25, 12);
  });

  it('says NaN where there is nothing to say', () => {
    const empty = Float64Array.from([Number.NaN, Number.NaN]);
    const none = intervalOfMeans(resampleMeans([empty]), (means) => means[0]);
    expect([none.estimate, none.low, none.high]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect(intervalOfMeans(resampleMeans([Float64Array.of(1)]), (means) => means[0]).low).toBeNaN();
  });

  it('carries rank correlations of column means: reversed orders stay reversed in every resample', () => {
    const random = new Random(21);
    // Five explainers with true means far apart on one modality and reversed on the other: tau is -1 without
    // noise.
    const draw = (mean: number) =>
      Float64Array.from({ length: 50 }, () => mean + 0.5 * (random.uniform() - 0.5));
    const image = [1, 2, 3, 4, 5].map(draw);
    const text = [5, 4, 3, 2, 1].map(draw);
    const source = resampleMeans([...image, ...text], { resamples: 300 });
    const tau = intervalOfMeans(source, (means) => kendall(means.slice(0, 5), means.slice(5)));
    expect([tau.estimate, tau.low, tau.high]).toEqual([-1, -1, -1]);
  });
});

describe('clustered correlation', () => {
  it('weights rows like repeating them', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.integer({ min: -5, max: 5 }),
            fc.integer({ min: -5, max: 5 }),
            fc.integer({ min: 0, max: 3 }),
          ),
          { minLength: 3, maxLength: 20 },
        ),
        (rows) => {
          const x = Float64Array.from(rows, (row) => row[0]);
          const y = Float64Array.from(rows, (row) => row[1]);
          const repeat = (side: 0 | 1) => rows.flatMap((row) => new Array<number>(row[2]).fill(row[side]));
          const expected = spearman(repeat(0), repeat(1));
          const got = correlator('spearman', x, y)(Float64Array.from(rows, (row) => row[2]));
          if (Number.isNaN(expected)) expect(got).toBeNaN();
          else expect(got).toBeCloseTo(expected, 10);
        },
      ),
      runs,
    );
  });

  it('is wider than a bootstrap of rows when the rows of a cluster move together', () => {
    const random = new Random(13);
    const clusters = Int32Array.from({ length: 200 }, (_, row) => Math.floor(row / 10));
    const level = Float64Array.from({ length: 20 }, () => random.uniform());
    const x = Float64Array.from(clusters, (cluster) => level[cluster] + 0.01 * random.uniform());
    const other = Float64Array.from({ length: 20 }, () => random.uniform());
    const y = Float64Array.from(clusters, (cluster) => other[cluster] + 0.01 * random.uniform());
    const byCluster = clusteredCorrelation('pearson', x, y, clusters, { resamples: 400 });
    const byRow = clusteredCorrelation(
      'pearson',
      x,
      y,
      Int32Array.from(x, (_, i) => i),
      { resamples: 400 },
    );
    expect(byCluster.estimate).toBeCloseTo(byRow.estimate, 12);
    // Ten nearly equal rows per cluster: the honest interval is about sqrt(10) times wider.
    expect(byCluster.high - byCluster.low).toBeGreaterThan(2 * (byRow.high - byRow.low));
  });

  it('does not exist where the rows that count are constant', () => {
    const x = Float64Array.of(0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 7);
    const y = Float64Array.of(1, 2, 3, 4, 5, 6, 7);
    for (const kind of ['pearson', 'spearman'] as const) {
      const correlate = correlator(kind, x, y);
      expect(correlate(Float64Array.of(1, 1, 1, 1, 1, 1, 0))).toBeNaN();
      expect(correlate(Float64Array.of(0, 0, 3, 1, 0, 0, 1))).toBeGreaterThan(0);
      expect(correlate(new Float64Array(7))).toBeNaN();
      // The outlier, drawn or not, hides nothing of the others.
      const far = correlator(kind, Float64Array.of(1, 2, 3, 1e300), Float64Array.of(3, 2, 1, 0));
      expect(far(Float64Array.of(1, 1, 1, 0))).toBe(-1);
      expect(() => correlator(kind, x, y.with(3, Number.NaN))).toThrow(/y\[3\]/);
    }
  });

  it('inside clusters leaves out constant ones of any size', () => {
    for (let size = 3; size < 40; size++) {
      const clusters = new Int32Array(size + 3).fill(1, size);
      const x = new Float64Array(size + 3);
      x.set([1, 2, 3], size);
      expect([...withinClusterSpearman(x, x, clusters)]).toEqual([1]);
    }
  });

  it('inside clusters ignores what clusters share', () => {
    const clusters = Int32Array.of(0, 0, 0, 1, 1, 1, 2, 2);
    const x = Float64Array.of(1, 2, 3, 101, 102, 103, 7, 8);
    const y = Float64Array.of(3, 2, 1, 103, 102, 101, 1, 2);
    // Pooled the correlation is strongly positive; inside it is -1. The pair is too short for a rank
    // correlation.
    expect([...withinClusterSpearman(x, y, clusters)]).toEqual([-1, -1]);
  });
});
