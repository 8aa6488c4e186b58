import { describe, expect, it } from 'vitest';
import { correlator } from '../../lib/statistics/correlation.js';
import { kendall, pearson, spearman } from '../../lib/statistics/ranks.js';
import { rocAuc } from '../../lib/statistics/separation.js';
import { chiSquaredSurvival, normalSurvival } from '../../lib/statistics/special.js';
import { friedmanTest, holm, signedRankTest } from '../../lib/statistics/tests.js';
import golden from '../golden/statistics.json' with { type: 'json' };

/**
 * Relative to the expected value, with a floor for zeros: both sides are float64 sums of a few hundred terms.
 */
function expectClose(got: number, expected: number, relative = 1e-10): void {
  expect(Math.abs(got - expected)).toBeLessThanOrEqual(relative * Math.abs(expected) + 1e-14);
}

describe('statistics agree with scipy.stats', () => {
  it.each(golden.normal)('normal tail beyond $z', ({ z, survival }) => {
    expectClose(normalSurvival(z), survival);
  });

  it.each(golden.chiSquared)(
    'chi-squared tail beyond $x with $degrees degrees',
    ({ x, degrees, survival }) => {
      // 1 - series loses relative, not absolute, precision where the tail is small but x < a + 1: never below
      // 0.1.
      expectClose(chiSquaredSurvival(x, degrees), survival);
    },
  );

  it.each(golden.signedRank)(
    'signed ranks of $n differences',
    ({ differences, n, positiveRanks, pValue }) => {
      const result = signedRankTest(differences);
      expect([result.n, result.positiveRanks]).toEqual([n, positiveRanks]);
      expectClose(result.pValue, pValue);
    },
  );

  it.each(golden.friedman)('Friedman statistic $statistic', (expected) => {
    const result = friedmanTest(expected.columns);
    expectClose(result.statistic, expected.statistic);
    expectClose(result.pValue, expected.pValue);
    expectClose(result.concordance, expected.concordance);
    for (const [i, rank] of expected.meanRanks.entries()) expectClose(result.meanRanks[i], rank);
  });

  it.each(golden.holm)('Holm correction of $pValues', ({ pValues, adjusted }) => {
    for (const [i, value] of holm(pValues).entries()) expectClose(value, adjusted[i]);
  });

  it.each(golden.auc)('area under the ROC curve $auc', ({ positive, negative, auc }) => {
    expectClose(rocAuc(positive, negative).estimate, auc);
  });

  it.each(golden.correlation)('correlations $pearson, $spearman, $kendall', (expected) => {
    const x = Float64Array.from(expected.x);
    const y = Float64Array.from(expected.y);
    const weights = Float64Array.from(expected.weights);
    const repeated = (values: Float64Array) =>
      Array.from(values).flatMap((value, i) => new Array<number>(weights[i]).fill(value));
    expectClose(correlator('pearson', x, y)(weights), expected.pearson);
    expectClose(correlator('spearman', x, y)(weights), expected.spearman);
    expectClose(pearson(repeated(x), repeated(y)), expected.pearson);
    expectClose(spearman(repeated(x), repeated(y)), expected.spearman);
    expectClose(kendall(repeated(x), repeated(y)), expected.kendall);
  });
});
