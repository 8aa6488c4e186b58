import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { formatBytes } from '../../lib/bytes.js';
import { type Command, exitCodes, UsageError } from '../../lib/cli/command.js';
import { commandHelp, parseOptions } from '../../lib/cli/program.js';
import { duration, ProgressLine } from '../../lib/cli/progress.js';
import { decimal, interval, textTable, wrapText } from '../../lib/text-table.js';

const command: Command = {
  name: 'try',
  summary: 'a command',
  description: 'Does nothing.',
  options: {
    limit: { kind: 'integer', minimum: 1, help: 'how many', fallback: 7 },
    names: { kind: 'list', help: 'names', fallback: ['all'] },
    mode: { kind: 'string', choices: ['a', 'b'], help: 'mode' },
    memory: { kind: 'bytes', value: 'SIZE', help: 'how much' },
    quiet: { kind: 'flag', help: 'say less' },
  },
  run: async () => exitCodes.ok,
};

describe('command options', () => {
  it('take defaults, lists and flags', () => {
    const values = parseOptions(command, ['--names', 'x,y', '--names', 'z', '--quiet']);
    expect([
      values.number('limit'),
      values.list('names'),
      values.flag('quiet'),
      values.string('mode'),
    ]).toEqual([7, ['x', 'y', 'z'], true, undefined]);
  });

  it.each([
    [['--limit', '0'], /integer >= 1 for --limit but received "0"/],
    [['--limit', 'many'], /integer >= 1 for --limit/],
    [['--mode', 'c'], /one of a, b for --mode/],
    [['--limt', '3'], /--limt/],
    [['--memory', '2XB'], /a size like 512MB, 2GB or 2GiB for --memory but received "2XB"/],
    [['--memory', '0'], /--memory/],
    [['stray'], /stray/],
  ])('refuse %j by name', (args, message) => {
    expect(() => parseOptions(command, args)).toThrow(UsageError);
    expect(() => parseOptions(command, args)).toThrow(message);
  });

  it.each([
    ['2GB', 2e9],
    ['512 MiB', 512 * 2 ** 20],
    ['1.5g', 1.5e9],
    ['4096', 4096],
  ])('read %j as a size', (text, bytes) => {
    expect(parseOptions(command, ['--memory', text]).number('memory')).toBe(bytes);
  });

  it('are all on the help page', () => {
    const page = commandHelp(command);
    for (const name of Object.keys(command.options)) expect(page).toContain(`--${name}`);
    expect(page).toContain('(default 7)');
    expect(page).toMatch(/^Usage: try \[options\]/);
  });
});

it.each([
  [999, '999 B'],
  [2_430_000, '2.43 MB'],
  [70_100_000, '70.1 MB'],
  [999_600_000, '1.00 GB'],
  [123e9, '123 GB'],
])('formatBytes(%d) is %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

describe('progress', () => {
  const record = (interactive: boolean) => {
    const written: string[] = [];
    let clock = 0;
    const progress = new ProgressLine({ log: (text) => written.push(text), interactive }, () => clock);
    return { written, progress, tick: (milliseconds: number) => (clock += milliseconds) };
  };

  it('rewrites one line on a terminal and says rate and remaining time', () => {
    const { written, progress, tick } = record(true);
    tick(2000);
    progress.update(4, 10, 'samples');
    expect(shown(written)).toEqual(['[##########..............] 4/10 samples  2.00/s  3 s left', '']);
    tick(500);
    progress.update(5, 10, 'samples');
    progress.end();
    expect(shown(written)).toEqual(['[############............] 5/10 samples  2.00/s  3 s left', '']);
  });

  it('writes plain lines rarely elsewhere, and the last always', () => {
    const { written, progress, tick } = record(false);
    for (let i = 1; i <= 100; i++) {
      tick(300);
      progress.update(i, 100, 'samples');
    }
    expect(written).toHaveLength(4);
    expect(written.at(-1)).toBe('100/100 samples  3.33/s  took 30 s\n');
    expect(written.join('')).not.toContain('\r');
  });

  it('does not count what was there before into the rate', () => {
    const { written, progress, tick } = record(true);
    tick(1000);
    progress.update(52, 100, 'samples', 50);
    expect(shown(written)[0]).toContain('2.00/s  24 s left');
  });

  it.each([
    [80, 'samples, a-model-with-a-rather-long-name on a-dataset-with-one, 3 rows failed'],
    [40, 'samples, llava-tiny on presence'],
    [80, 'samples, 大型视觉语言模型大型视觉语言模型大型视觉语言模型 on 数据集'],
  ])('stays one line on a terminal of %d columns', (columns, label) => {
    const written: string[] = [];
    let clock = 0;
    const target = { log: (text: string) => written.push(text), interactive: true, columns: () => columns };
    const progress = new ProgressLine(target, () => clock);
    for (let done = 1; done <= 50; done++) {
      clock += 700;
      progress.update(done, 1000, label);
    }
    const lines = shown(written, columns);
    // The cursor waits on the line below.
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/50\/1000 sa.*1\.43\/s {2}11 min 05 s left$/);
    progress.clear();
    expect(shown(written, columns).join('').trim()).toBe('');
  });

  it('follows a window that is made narrower', () => {
    const written: string[] = [];
    let [clock, columns] = [0, 120];
    const log = (text: string) => written.push(text);
    const progress = new ProgressLine({ log, interactive: true, columns: () => columns }, () => clock);
    for (let done = 1; done <= 20; done++) {
      clock += 700;
      if (done === 10) columns = 50;
      progress.update(done, 1000, 'samples, llava-tiny on presence');
    }
    expect(stringWidth(shown(written, 120)[0])).toBeLessThan(50);
  });

  it('speaks of time as people do', () => {
    expect([duration(41.6), duration(185), duration(7620)]).toEqual(['42 s', '3 min 05 s', '2 h 07 min']);
  });
});

describe('text tables on a terminal', () => {
  const rows = [
    { name: 'Integrated Gradients', numbers: [0.25, -1.5, 3] },
    { name: '注意力', numbers: [10, 20, 30] },
  ];
  const columns = [
    { title: 'explainer', align: 'left' as const, value: (row: (typeof rows)[0]) => row.name },
    ...['a rather long title', 'another long title', 'third'].map((title, i) => ({
      title,
      value: (row: (typeof rows)[0]) => decimal(row.numbers[i]),
    })),
    {
      title: 'words',
      align: 'left' as const,
      value: () => 'many words that no line holds by itself, far too many',
    },
  ];

  it.each([30, 45, 60, 80, 100])(
    'of %d columns go on below, with the first column again, and lose nothing',
    (width) => {
      const lines = textTable(columns, rows, width).split('\n');
      for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(width);
      const text = lines.join(' ').replaceAll(/\s+/g, ' ');
      for (const part of ['10.000', '-1.500', '30.000', 'third', 'far']) expect(text).toContain(part);
      expect(lines.filter((line) => line.startsWith('注意力')).length).toBeGreaterThan(width < 100 ? 1 : 0);
    },
  );

  it('align characters that take two columns', () => {
    const [, , first, second] = textTable(columns.slice(0, 2), rows).split('\n');
    expect([stringWidth(first), stringWidth(second)]).toEqual([41, 41]);
  });

  it('and lines of text break between words, indented as they were', () => {
    expect(wrapText('  pass   one two three four', 20)).toBe('  pass   one two\n    three four');
    expect(wrapText('short')).toBe('short');
  });
});

/**
 * The lines that a terminal shows after some writes: cursor moves, erased lines, breaks at the last column.
 */
function shown(written: readonly string[], columns = 80): string[] {
  const screen: string[][] = [[]];
  let [row, column] = [0, 0];
  const put = (character: string) => {
    const wide = stringWidth(character);
    if (column + wide > columns) [row, column] = [row + 1, 0];
    screen[row] ??= [];
    while (screen[row].length < column) screen[row].push(' ');
    screen[row].splice(column, wide, character, ...Array(wide - 1).fill(''));
    column += wide;
  };
  const control: Readonly<Record<string, (count: number) => void>> = {
    A: (count) => (row = Math.max(0, row - count)),
    B: (count) => (row += count),
    G: (count) => (column = count - 1),
    K: (kind) => (screen[row] = kind === 2 ? [] : (screen[row] ?? []).slice(0, column)),
    J: () => {
      screen.length = row + 1;
      screen[row] = screen[row].slice(0, column);
    },
    h: () => {},
    l: () => {},
  };
  const esc = String.fromCharCode(27);
  const tokens = new RegExp(`${esc}\\[\\??(\\d*)([A-Za-z])|\\n|\\r|[^${esc}]`, 'gu');
  for (const [token, count, name] of written.join('').matchAll(tokens)) {
    if (name !== undefined) {
      if (!control[name]) throw new Error(`unknown control sequence ${JSON.stringify(token)}`);
      control[name](count === '' ? (name === 'K' || name === 'J' ? 0 : 1) : Number(count));
    } else if (token === '\n') {
      [row, column] = [row + 1, 0];
      screen[row] ??= [];
    } else if (token === '\r') column = 0;
    else put(token);
  }
  return screen.map((line) => line.join('').trimEnd());
}

describe('text tables', () => {
  it('align columns and never show a missing number as one', () => {
    const table = textTable(
      [
        { title: 'name', align: 'left', value: (row: [string, number]) => row[0] },
        { title: 'x', value: (row) => decimal(row[1]) },
      ],
      [
        ['a', -0.00001],
        ['long', Number.NaN],
      ],
    );
    expect(table).toBe('name      x\n----  -----\na     0.000\nlong      -');
    expect(interval({ estimate: 1, low: 0.5, high: 1.5 }, 1)).toBe('1.0 [0.5, 1.5]');
  });
});
