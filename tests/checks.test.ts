import { expect, test } from 'vitest';
import { checkBytes, checkInteger, checkNumber, checkOneOf } from '../lib/checks.js';

const refusal = (check: () => void): string => {
  try {
    check();
  } catch (error) {
    expect(error).toMatchObject({ name: 'FsynError', code: 'INVALID_ARGUMENT' });
    return (error as Error).message;
  }
  return 'taken';
};

test.each([
  [1, 1, undefined, 'taken'],
  [0, 1, undefined, 'Expected an integer >= 1 for n but received 0.'],
  [12, 1, 12, 'taken'],
  [13, 1, 12, 'Expected an integer from 1 to 12 for n but received 13.'],
  [-1, undefined, undefined, 'taken'],
  [1.5, undefined, undefined, 'Expected an integer for n but received 1.5.'],
  [2 ** 53, 0, undefined, 'Expected an integer >= 0 for n but received 9007199254740992.'],
  [Number.NaN, 0, 1, 'Expected an integer from 0 to 1 for n but received NaN.'],
  ['3' as never, 0, 9, 'Expected an integer from 0 to 9 for n but received "3".'],
  [undefined as never, 0, 9, 'Expected an integer from 0 to 9 for n but received undefined.'],
])('an integer: %s from %s to %s', (value, least, most, says) => {
  expect(refusal(() => checkInteger('n', value, least, most))).toBe(says);
});

test.each([
  [0, { least: 0 }, 'taken'],
  [0, { above: 0 }, 'Expected a finite number > 0 for x but received 0.'],
  [1, { above: 0, most: 1 }, 'taken'],
  [1, { above: 0, below: 1 }, 'Expected a finite number > 0 and < 1 for x but received 1.'],
  [1.01, { least: 0, most: 1 }, 'Expected a finite number from 0 to 1 for x but received 1.01.'],
  [Infinity, {}, 'Expected a finite number for x but received Infinity.'],
  ['1' as never, { above: 0 }, 'Expected a finite number > 0 for x but received "1".'],
])('a number: %s in %j', (value, range, says) => {
  expect(refusal(() => checkNumber('x', value, range))).toBe(says);
});

test('bytes and choices', () => {
  expect(refusal(() => checkBytes('memory', undefined))).toBe('taken');
  expect(refusal(() => checkBytes('memory', 0))).toBe(
    'Expected a number of bytes > 0 for memory but received 0.',
  );
  expect(refusal(() => checkOneOf('mode', 'fast', ['fast', 'exact']))).toBe('taken');
  expect(refusal(() => checkOneOf('mode', 'slow', ['fast', 'exact']))).toBe(
    'Expected one of fast, exact for mode but received "slow".',
  );
});
