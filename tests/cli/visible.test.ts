import { expect, it } from 'vitest';
import { ProgressLine } from '../../lib/cli/progress.js';
import { visible } from '../../lib/cli/visible.js';
import { csvCell } from '../../lib/report/csv.js';
import { colouredWords } from '../../lib/report/explanation.js';

it('control characters of names are shown, not obeyed', () => {
  expect(visible('a\x1b[2J\x1b]0;title\x07b')).toBe('a\\u001b[2J\\u001b]0;title\\u0007b');
  expect(visible('\x9b31m \r \b \x00 \u202egnp.exe')).toBe(
    '\\u009b31m \\u000d \\u0008 \\u0000 \\u202egnp.exe',
  );
  expect(visible('é 日\n\tok')).toBe('é 日\n\tok');
  const json = JSON.stringify({ name: '\x9b\u202e\x1b\r' });
  expect(JSON.parse(visible(json))).toEqual(JSON.parse(json));
  expect(visible('a,b\r\n')).toBe('a,b\r\n');
  const words = colouredWords(['red', 'circle'], Float64Array.of(1, -1));
  expect(visible(words)).toBe(words);
  expect(visible('\x1b[31mred\x1b[8m')).toBe('\\u001b[31mred\\u001b[8m');
});

it('a progress line moves the cursor itself, and no name of a model does', () => {
  let log = '';
  const target = {
    log: () => {},
    raw: (text: string) => (log += text),
    interactive: true,
    columns: () => 80,
  };
  new ProgressLine(target, () => 0).update(1, 2, 'evil\x1b[9Amodel');
  expect(log).toContain('evil\\u001b[9Amodel');
  expect(log).not.toContain('\x1b[9A');
});

it('a cell of CSV is no formula', () => {
  for (const text of ['=1+1', '+1+1', '-1+1', '@SUM(A1)', '\t=1', '=HYPERLINK("http://x","y")'])
    expect(csvCell(text).replace(/^"/, '')).toMatch(/^'/);
  for (const number of ['-0.5', '-1', '1e-7', '-1.5e+21', '-Infinity', '0.25', 'a-b', 'llava-tiny', ''])
    expect(csvCell(number)).toBe(number);
  expect(csvCell('=A1,"x"')).toBe('"\'=A1,""x"""');
});
