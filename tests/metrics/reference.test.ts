import { describe, expect, it } from 'vitest';
import type { CellScores } from '../../lib/cells/scores.js';
import { CellTable } from '../../lib/cells/table.js';
import { referenceValues } from '../../lib/cells/values.js';
import { requestFaithfulness, scoreFaithfulness } from '../../lib/metrics/faithfulness.js';

describe('compatibility with the published scoring', () => {
  // Cell 0 is the full input, cell 1 the baseline; token 0 drops by 1, token 1 by 3, token 2 rises.
  const scores: CellScores = {
    logProbabilities: Float64Array.of(-0.5, -0.1, -2, -1.5, -3.1, -1),
    tokens: 3,
    decision: 0,
  };

  it('scores the one answer token that drops most', () => {
    expect([...referenceValues(scores, 0, 1)]).toEqual([Math.exp(-0.1), Math.exp(-3.1)]);
  });

  it('lets metrics score different tokens and clips unimodal curves, which the default does not', () => {
    const table = new CellTable(4, 4);
    const attribution = { image: Float64Array.of(4, 3, 2, 1), text: Float64Array.of(4, 3, 2, 1) };
    const reference = requestFaithfulness(table, attribution, { compat: 'reference' });
    const corrected = requestFaithfulness(table, attribution);
    const imageMasks = table.imageMasks();
    const textMasks = table.textMasks();
    const pairs = table.pairs();
    const logProbabilities = new Float64Array(2 * table.cellCount);
    for (let cell = 0; cell < table.cellCount; cell++) {
      const seen = imageMasks
        .subarray(4 * pairs[2 * cell], 4 * pairs[2 * cell] + 4)
        .reduce((a, b) => a + b, 0);
      const read = textMasks
        .subarray(4 * pairs[2 * cell + 1], 4 * pairs[2 * cell + 1] + 4)
        .reduce((a, b) => a + b, 0);
      // Token 0 (the decision) depends on the image and overshoots half-way; token 1 depends on the text.
      logProbabilities[2 * cell] = seen === 2 ? -0.01 : -3 + 0.5 * seen;
      logProbabilities[2 * cell + 1] = -4 + 0.9 * read;
    }
    const model: CellScores = { logProbabilities, tokens: 2, decision: 0 };
    const published = scoreFaithfulness(reference, model);
    const ours = scoreFaithfulness(corrected, model);
    expect(published.text.insertion[10]).toBeCloseTo(Math.exp(-0.4), 12);
    expect(ours.text.insertion[10]).toBeCloseTo(Math.exp(-1), 12);
    expect(published.image.normalisedInsertionAuc).toBeLessThan(ours.image.normalisedInsertionAuc);
  });
});
