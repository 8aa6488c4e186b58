import ndarray from 'ndarray';
import type { Dataset, Grounding, Sample } from '../../lib/datasets/types.js';
import { FsynError } from '../../lib/errors.js';
import type { PreparedSample, Vlm } from '../../lib/vlm/types.js';
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
      return prepared(image, question, calls);
    },
  };
}

function prepared(image: PreparedSample['image'], question: string, calls: Calls): PreparedSample {
  const boxes = Float64Array.from({ length: 64 }, (_, i) => {
    const [row, column] = [Math.floor(i / 16), Math.floor(i / 4) % 4];
    return [2 * column, 2 * row, 2 * column + 2, 2 * row + 2][i % 4];
  });
  const words = question.split(' ');
  const spans = new Int32Array(2 * words.length);
  for (let i = 0, at = 0; i < words.length; at += words[i].length + 1, i++)
    spans.set([at, at + words[i].length], 2 * i);
  return {
    image,
    question,
    prompt: question,
    imagePlayers: { count: 16, rows: 4, columns: 4, tiles: 1, boxes },
    textPlayers: {
      count: words.length,
      labels: words,
      kinds: words.map(() => 'question' as const),
      spans,
      positions: Int32Array.from(words, (_, i) => i),
    },
    answer: {
      text: 'yes',
      tokenIds: Int32Array.of(1),
      tokens: ['yes'],
      decisionIndex: 0,
      decisionKind: 'yes-no',
      decisionToken: 'yes',
      decision: 'yes',
    },
    async evaluate(table, options) {
      options?.signal?.throwIfAborted();
      calls.cells += table.cellCount;
      return playGame(table, (i, t) => (i[5] && t[1] ? -1 : -3));
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
