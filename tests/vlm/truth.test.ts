import { describe, expect, it } from 'vitest';
import { mapTruth } from '../../lib/vlm/truth.js';

// A 2 x 2 grid of 10-pixel cells and the words "is it red".
const sample = {
  question: 'is it red',
  imagePlayers: {
    count: 4,
    rows: 2,
    columns: 2,
    tiles: 1,
    boxes: Float64Array.of(0, 0, 10, 10, 10, 0, 20, 10, 0, 10, 10, 20, 10, 10, 20, 20),
  },
  textPlayers: {
    count: 4,
    labels: ['is', 'it', 'red', 'Answer'],
    kinds: ['question', 'question', 'question', 'instruction'] as const,
    spans: Int32Array.of(0, 2, 3, 5, 6, 9, -1, -1),
    positions: Int32Array.of(0, 1, 2, 3),
  },
};

describe('ground truth on players', () => {
  it('takes cells that are mostly covered and tokens that meet a word', () => {
    const { image, text } = mapTruth({ boxes: [[0, 0, 16, 10]], words: [[7, 9]] }, sample);
    expect([...image]).toEqual([1, 1, 0, 0]);
    expect([...text]).toEqual([0, 0, 1, 0]);
  });

  it('takes the cell that holds most of a box smaller than itself', () => {
    expect([...mapTruth({ boxes: [[8, 12, 11, 14]], words: [] }, sample).image]).toEqual([0, 0, 1, 0]);
  });

  it('leaves cells out that are barely touched, at the coverage asked for', () => {
    const truth = { boxes: [[0, 0, 13, 10]] as const, words: [] };
    expect([...mapTruth(truth, sample).image]).toEqual([1, 0, 0, 0]);
    expect([...mapTruth(truth, sample, { coverage: 0.2 }).image]).toEqual([1, 1, 0, 0]);
  });

  it('keeps an object that lies between cells: the cell that it meets most, the first of equals', () => {
    expect([...mapTruth({ boxes: [[8, 8, 12, 12]], words: [] }, sample).image]).toEqual([1, 0, 0, 0]);
    expect([...mapTruth({ boxes: [[9, 8, 13, 13]], words: [] }, sample).image]).toEqual([0, 0, 0, 1]);
  });

  it('refuses a coverage outside (0, 1]', () => {
    expect(() => mapTruth({ boxes: [], words: [] }, sample, { coverage: 0 })).toThrow(/coverage/);
  });

  it.each([
    [{ boxes: [[5, 5, 5, 9]], words: [] }, /x0 < x1/],
    [{ boxes: [], words: [[4, 12]] }, /9 characters/],
    [{ boxes: [[40, 40, 50, 50]], words: [] }, /No image player/],
    [{ boxes: [], words: [[2, 3]] }, /No text player/],
  ] as const)('refuses %j', (truth, message) => {
    expect(() => mapTruth(truth, sample)).toThrow(message);
  });
});
