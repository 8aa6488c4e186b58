import ndarray from 'ndarray';
import { madeUpSample } from '../../bench/reliability/made-up-sample.js';
import type { Dataset, Grounding, Sample } from '../../lib/datasets/types.js';
import { FsynError } from '../../lib/errors.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { playGame } from '../metrics/games.js';

/** Counts of what a fake model was asked to do. */
export interface Calls {
  prepared: number;
  cells: number;
}

/**
 * A model whose value is known: log-probability -1 when image player 5 and text player 1 are both present,
 * else -3. Players are a 4 x 4 grid over an 8 x 8 image and four words.
 */
export function fakeModel(calls: Calls = { prepared: 0, cells: 0 }): Vlm {
  return {
    name: 'fake',
    architecture: 'fake',
    fingerprint: 'fake-1',
    dispose() {},
    async prepare(image, question) {
      calls.prepared++;
      if (question === '') throw new FsynError('INVALID_ARGUMENT', 'Expected a question but received "".');
      return madeUpSample(image, question, async (table, options) => {
        options?.signal?.throwIfAborted();
        calls.cells += table.cellCount;
        return playGame(table, (i, t) => (i[5] && t[1] ? -1 : -3));
      });
    },
  };
}

/** A dataset of questions about one black image; the truth is the player pair that the fake model needs. */
export function fakeDataset(
  questions: readonly string[],
  groundings: readonly Grounding[] = ['grounded'],
): Dataset {
  const image = ndarray(new Uint8Array(8 * 8 * 3), [8, 8, 3]);
  return {
    name: 'fake',
    version: '1',
    size: questions.length,
    async *samples() {
      for (const [i, question] of questions.entries()) {
        const sample: Sample = {
          id: `q${i}`,
          question,
          answer: 'yes',
          family: 'presence',
          grounding: groundings[i % groundings.length],
          truth: { boxes: [[2, 2, 4, 4]], words: [[2, 4]] },
          image: async () => image,
        };
        yield sample;
      }
    },
  };
}
