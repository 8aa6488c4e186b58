import type { PreparedSample } from '../../lib/vlm/types.js';

/**
 * A sample of a model that is made up: 4 x 4 image players over an 8 x 8 image, a text player for every word
 * of the question, the answer "yes".
 */
export function madeUpSample(
  image: PreparedSample['image'],
  question: string,
  evaluate: PreparedSample['evaluate'],
): PreparedSample {
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
    evaluate,
  };
}
