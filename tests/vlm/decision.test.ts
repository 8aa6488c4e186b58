import { describe, expect, it } from 'vitest';
import { findDecision } from '../../lib/vlm/decision.js';

describe('findDecision', () => {
  it.each<[string, string[], number, string]>([
    ['a bare yes', [' Yes'], 0, 'yes-no'],
    ['no with punctuation', ['No', ',', ' there', ' is', ' none', '.'], 0, 'yes-no'],
    ['a later yes', ['The', ' answer', ' is', ' yes', '.'], 3, 'yes-no'],
    ['no word that merely begins so', [' Nothing', ' there'], 0, 'content'],
    ['leading punctuation', ['"', ' three', '"'], 1, 'content'],
    ['nothing but punctuation', ['!', '?'], 0, 'content'],
  ])('%s', (_, texts, index, kind) => {
    expect(findDecision(texts, undefined)).toEqual({ index, kind });
  });

  const choices = ['A', 'B', 'C', 'D'];
  it.each<[string, string[], number, string]>([
    ['the letter alone', ['B'], 0, 'choice'],
    ['the letter in parentheses', ['(', 'C', ')'], 1, 'choice'],
    ['its own parentheses in one token', ['The', ' answer', ' is', ' (D)'], 3, 'choice'],
    ['the article at the start, the letter later', ['A', ' cat', ' so', ' option', ' B'], 4, 'choice'],
    ['a letter after "answer:"', ['The', ' answer', ':', ' c', '.'], 3, 'choice'],
    [
      'a variable of a formula',
      ['Since', ' B', ' +', ' 2', ' the', ' answer', ' is', ' A', '.'],
      7,
      'choice',
    ],
    ['a single candidate in poor surroundings', ['We', ' see', ' B', ' there'], 2, 'choice'],
    ['no letter at all', [' left', ' side'], 0, 'content'],
    ['a letter that is no choice', [' F'], 0, 'content'],
  ])('choices: %s', (_, texts, index, kind) => {
    expect(findDecision(texts, choices)).toEqual({ index, kind });
  });
});
