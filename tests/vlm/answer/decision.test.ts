import { describe, expect, it } from 'vitest';
import { findDecision } from '../../../lib/vlm/answer/decision.js';

describe('findDecision', () => {
  it.each<[string, string[], number, string]>([
    ['a bare yes', [' Yes'], 0, 'yes-no'],
    ['no with punctuation', ['No', ',', ' there', ' is', ' none', '.'], 0, 'yes-no'],
    ['a later yes', ['The', ' answer', ' is', ' yes', '.'], 3, 'yes-no'],
    ['no word that merely begins so', [' Nothing', ' there'], 0, 'content'],
    ['leading punctuation', ['"', ' three', '"'], 1, 'content'],
    ['nothing but punctuation', ['!', '?'], 0, 'content'],
    ['no longer word whose first piece reads no', [' no', 's', 'e'], 0, 'content'],
    ['no longer word that begins with No', ['No', 'thing', ' is', ' there'], 0, 'content'],
    ['no word with a hyphen', ['No', '-', 'one'], 0, 'content'],
    ['a yes in two tokens', [' y', 'es', '.'], 0, 'yes-no'],
    ['a yes behind a longer word', [' no', 'w', ',', ' yes'], 3, 'yes-no'],
    ['the digits of a number with its sign apart', [' ', '-', '12'], 2, 'content'],
    ['a character in several tokens', ['', ' ', 'न', '', 'ही'], 2, 'content'],
  ])('%s', (_, texts, index, kind) => {
    expect(findDecision(texts, undefined)).toMatchObject({ index, kind });
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
    ['a longer word whose first piece is a letter', ['A', 'pple'], 0, 'content'],
    ['the letter behind such a word', ['C', 'yan', ',', ' so', ' B', '.'], 4, 'choice'],
    ['an article in a sentence', ['It', ' is', ' a', ' dog', '.'], 0, 'content'],
    ['an article at the front', ['A', ' dog'], 0, 'content'],
    ['an article behind a colon', ['Answer', ':', ' A', ' dog'], 0, 'content'],
    ['the letter before an article', 'I| would| pick| B| —| a| safe| choice|.'.split('|'), 3, 'choice'],
    ['the same with a hyphen', 'I| would| pick| B| -| a| safe| choice|.'.split('|'), 3, 'choice'],
    ['a letter that the sentence is about', ['A', ' is', ' right'], 0, 'choice'],
    ['a letter named as an option', ['Option', ' a', ' shows', ' it'], 1, 'choice'],
    ['a capital inside a sentence', ['La', ' respuesta', ' es', ' A', ' porque', ' sí'], 3, 'choice'],
    ['a letter beside another script', ['答案是', 'A', '。'], 1, 'choice'],
    ['a letter in emphasis', ['**', 'C', '**', ' fits'], 1, 'choice'],
    ['a letter behind an equals sign', ['Answer', ' =', ' B'], 2, 'choice'],
    ['the letter that is not ruled out', ['Not', ' A', ' but', ' B'], 3, 'choice'],
    ['the letter before one that is', 'The| answer| is| A|,| not| B|.'.split('|'), 3, 'choice'],
    ['the letter before a sentence about others', 'B|.| The| A| is| too| small|.'.split('|'), 0, 'choice'],
    ['a letter with digits', ['B', '12', ' or', ' so'], 0, 'content'],
  ])('choices: %s', (_, texts, index, kind) => {
    expect(findDecision(texts, choices)).toMatchObject({ index, kind });
  });

  it('takes choices that are words, one or several', () => {
    const texts = ['It', ' is', ' New', ' Y', 'ork', ',', ' not', ' York', '.'];
    expect(findDecision(texts, ['York', 'New York'])).toEqual({ index: 2, kind: 'choice', text: 'New York' });
    expect(findDecision([' 1', '.', '5'], ['1', '1.5'])).toEqual({ index: 0, kind: 'choice', text: '1.5' });
    expect(findDecision(['1', '2'], ['1', '2', '3'])).toMatchObject({ kind: 'content', text: '12' });
  });

  it.each<[string, string[], string]>([
    ['a number of two tokens', ['1', '2', ' cats'], '12'],
    ['a sign and a point', ['-', '1', '.', '5', '.'], '-1.5'],
    ['a point alone in front', ['.', '5'], '.5'],
    ['a word of three tokens', [' um', 'bre', 'lla'], 'umbrella'],
    ['a word with an accent of its own', ['cafe\u0301', ' x'], 'cafe\u0301'],
    ['a word with vowel signs', ['न', 'ही', 'ं'], 'नहीं'],
    ['a range', ['3', '-', '4'], '3-4'],
  ])('gives the whole of %s', (_, texts, text) => {
    expect(findDecision(texts, undefined)).toMatchObject({ kind: 'content', text });
  });

  it('looks at single tokens as the published code does when asked to', () => {
    const published = (texts: string[], among?: string[]) => findDecision(texts, among, 'published');
    expect(published([' no', 's', 'e'])).toEqual({ index: 0, kind: 'yes-no', text: 'no' });
    expect(published(['A', 'pple'], choices)).toMatchObject({ index: 0, kind: 'choice' });
    expect(published(['It', ' is', ' a', ' dog', '.'], choices)).toMatchObject({ index: 2, kind: 'choice' });
    expect(published(['1', '2'])).toEqual({ index: 0, kind: 'content', text: '1' });
  });
});
