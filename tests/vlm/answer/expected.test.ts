import { describe, expect, it } from 'vitest';
import { isExpected, sameAnswer } from '../../../lib/vlm/answer/expected.js';

describe('sameAnswer', () => {
  it.each<[string, string]>([
    ['Yes.', 'yes'],
    [' "umbrella" ', 'Umbrella'],
    ['(B)', 'B'],
    ['**12**', '12'],
    ['15.', '15'],
    ['-5', '\u22125'],
    ['caf\u00e9', 'cafe\u0301'],
    ['traffic  light', 'Traffic light.'],
    ['नहीं।', 'नहीं।'],
    ['-', '-'],
  ])('%s is %s', (said, expected) => {
    expect(sameAnswer(said, expected)).toBe(true);
  });

  it.each<[string, string]>([
    ['1', '12'],
    ['12', '1'],
    ['1.5', '15'],
    ['1.5', '5'],
    ['-5', '5'],
    ['+5', '5'],
    ['.5', '5'],
    ['12%', '12'],
    ['.', '-'],
    ['nose', 'no'],
    ['cafe', 'caf\u00e9'],
    // Two words that differ in vowel signs only.
    ['की', 'का'],
    ['C++', 'C'],
    ['traffic', 'traffic light'],
  ])('%s is not %s', (said, expected) => {
    expect(sameAnswer(said, expected)).toBe(false);
  });
});

describe('isExpected', () => {
  const answer = (
    text: string,
    decision: string,
    decisionKind: 'yes-no' | 'choice' | 'content' | 'similarity',
  ) => ({
    text,
    decision,
    decisionKind,
  });
  it('judges by what decides, or by the whole answer', () => {
    expect(isExpected(answer('No, there is none.', 'No', 'yes-no'), 'no')).toBe(true);
    expect(isExpected(answer('The answer is (B).', 'B', 'choice'), '(B)')).toBe(true);
    expect(isExpected(answer('A dog', 'A', 'content'), 'A')).toBe(false);
    expect(isExpected(answer('12 cats', '12', 'content'), '12')).toBe(false);
    expect(isExpected(answer('New York.', 'New', 'content'), 'new york')).toBe(true);
    expect(isExpected(answer('0.8124', '0.8124', 'similarity'), 'yes')).toBeNull();
  });
});
