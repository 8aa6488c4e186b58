import { describe, expect, it } from 'vitest';
import { formatBytes } from '../../lib/bytes.js';
import { type Command, commandHelp, exitCodes, parseOptions, UsageError } from '../../lib/cli/command.js';
import { duration, ProgressLine } from '../../lib/cli/progress.js';
import { decimal, interval, textTable } from '../../lib/report/table.js';

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
    const progress = new ProgressLine(
      (text) => written.push(text),
      interactive,
      () => clock,
    );
    return { written, progress, tick: (milliseconds: number) => (clock += milliseconds) };
  };

  it('rewrites one line on a terminal and says rate and remaining time', () => {
    const { written, progress, tick } = record(true);
    tick(2000);
    progress.update(4, 10, 'samples');
    expect(written[0]).toContain('4/10 samples  2.00/s  3 s left');
    expect(written[0].startsWith('\r')).toBe(true);
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
    expect(written[0]).toContain('2.00/s  24 s left');
  });

  it('speaks of time as people do', () => {
    expect([duration(41.6), duration(185), duration(7620)]).toEqual(['42 s', '3 min 05 s', '2 h 07 min']);
  });
});

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
