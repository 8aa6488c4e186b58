import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../lib/cli/command.js';
import { main } from '../../lib/cli/command-line.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { packageInfo } from '../../lib/package.js';
import { parseRecords } from './records.js';

const script = join(import.meta.dirname, '../../dist/lib/cli/main.js');
let folder: string;
beforeAll(() => {
  if (!existsSync(script)) throw new Error('build first: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'fsyn-daily-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a whole command line in this process. */
const fsyn = (...args: string[]) => runMain(false, args);

async function runMain(interactive: boolean, args: readonly string[]) {
  let [out, log] = ['', ''];
  const code = await main(args, {
    out: (text) => (out += text),
    log: (text) => (log += text),
    interactive,
    signal: new AbortController().signal,
  });
  return { code, out, log };
}

describe('help', () => {
  it('is the same page for -h, --help and help COMMAND', async () => {
    const page = await fsyn('bench', '--help');
    expect(page).toMatchObject({ code: 0, log: '' });
    expect(page.out).toMatch(/^Usage: fsyn bench \[options\]/);
    expect(await fsyn('bench', '-h')).toEqual(page);
    expect(await fsyn('help', 'bench')).toEqual(page);
    const overview = await fsyn('--help');
    expect(overview.out).toContain('rank explainers by synergistic faithfulness');
    for (const same of [['-h'], ['help']]) expect(await fsyn(...same)).toEqual(overview);
    expect(await fsyn()).toMatchObject({ code: exitCodes.usage, out: overview.out });
  });

  it('lines fit into the columns that help has', async () => {
    for (const command of ['bench', 'explain', 'report'])
      for (const line of (await fsyn(command, '-h')).out.split('\n'))
        expect(line.length).toBeLessThanOrEqual(115);
  });

  it('-v, -V and --version print the version', async () => {
    const printed = { code: 0, out: `${packageInfo().version}\n`, log: '' };
    expect(await fsyn('-v')).toEqual(printed);
    expect(await fsyn('--version')).toEqual(printed);
  });
});

describe('mistakes', () => {
  it.each([
    [['benhc'], /Unknown command 'benhc' \(Did you mean bench\?\)/],
    [['bench', '--datset', 'x'], /Unknown option '--datset' \(Did you mean --dataset\?\)/],
    [['bench', '--scoring', 'probabilty'], /received "probabilty"; did you mean "probability"\?/],
    [['bench', '--dataset', 'presense'], /received "presense"; did you mean "presence"\?/],
    [
      ['bench', '--model', 'lava-tiny', '--dataset', 'presence', '--limit', '1'],
      /"lava-tiny"; did you mean "llava-tiny"/,
    ],
    [['bench', '--explainers', 'AtnLRP'], /Unknown explainer "AtnLRP"; did you mean "AttnLRP"\?/],
    [['bench', '--dataset', 'data/mine.jsonl'], /There is no file "data\/mine\.jsonl"/],
    [
      ['bench', '--model', './no/model', '--dataset', 'presence'],
      /There is no file or folder "\.\/no\/model"/,
    ],
    [['bench', '--config', 'no.json'], /There is no file "no\.json"/],
    [['explain', '--image', 'no.png', '--question', 'Is it?'], /There is no file "no\.png"/],
    [['report', 'no-folder'], /There is no folder "no-folder"/],
    [['bench', 'stray'], /Expected options only but received stray/],
  ])('%j end with code 2, one line that says what was meant, and where help is', async (args, message) => {
    const { code, out, log } = await fsyn(...args);
    expect([code, out]).toEqual([exitCodes.usage, '']);
    expect(log).toMatch(message);
    expect(log.trimEnd().split('\n')).toHaveLength(2);
    expect(log).toMatch(/--help` shows the (commands|options)\.\n$/);
  });

  it('are not names as tables print them', () => {
    const names = ['AttnLRP', 'Input x Gradient', 'anti oracle', 'GRAD-CAM', 'tam'];
    expect(findExplainers(names).map(({ name }) => name)).toEqual([
      'attn-lrp',
      'input-x-gradient',
      'anti-oracle',
      'grad-cam',
      'tam',
    ]);
    expect(() => findExplainers(['attn-lrp', 'AttnLRP'])).toThrow(/"attn-lrp" is named twice/);
    expect(() => findExplainers(['-'])).toThrow(/Unknown explainer "-"\. Known explainers: oracle/);
  });
});

const small = ['--model', 'llava-tiny', '--dataset', 'presence', '--limit', '2', '--sii-samples', '0'];

describe('a configuration file', () => {
  it('that is the run.json of a run does the same run again, byte for byte, and says what is not the same', async () => {
    const [first, second, third] = ['first', 'second', 'third'].map((name) => join(folder, name));
    const options = ['--explainers', 'oracle,Random', '--seed', '3', '--include-instruction', '--steps', '4'];
    expect((await fsyn('bench', ...small, ...options, '--out', first)).code).toBe(0);
    const again = await fsyn('bench', '--config', join(first, 'run.json'), '--out', second);
    expect(again.code).toBe(0);
    expect(again.log).not.toContain('WARNING');
    const rows = (out: string) => readFileSync(join(out, 'results.jsonl'), 'utf8');
    expect(rows(second)).toBe(rows(first));
    const [row] = parseRecords(rows(first));
    expect(row.status === 'ok' && row.steps).toEqual([0, 0.25, 0.5, 0.75, 1]);
    // What is typed comes before what is written.
    const other = await fsyn(
      'bench',
      '--config',
      join(first, 'run.json'),
      '--explainers',
      'random',
      '--out',
      third,
    );
    expect(other.log).toContain(
      'WARNING: this is not the run that it is to repeat: explainers that are missing: oracle.',
    );
    expect(parseRecords(rows(third)).map(({ explainer }) => explainer)).toEqual(['random', 'random']);
  }, 120_000);

  it.each([
    ['{"limitt": 3}', /no option "limitt"; did you mean "limit"/],
    ['{"limit": 0}', /integer >= 1 for --limit but received "0"/],
    ['{"limit": [1]}', /expected a text or a number for limit but found an array/],
    ['{"dataset": [3]}', /expected a list of texts for dataset/],
    ['{"full": "yes"}', /expected true or false for full but found "yes"/],
    ['{"config": "x"}', /no option "config"/],
    ['[]', /is not a JSON object/],
    ['{', /is not JSON/],
    ['{"schema": 1}', /does not say how its run was asked for/],
  ])('%s is refused by file and option', async (text, message) => {
    const path = join(folder, 'config.json');
    writeFileSync(path, text);
    const { code, log } = await fsyn('bench', '--config', path);
    expect(code).toBe(exitCodes.usage);
    expect(log).toContain(path);
    expect(log).toMatch(message);
  });
});

describe('merge', () => {
  it('prints the ranking and the next step', async () => {
    const parts = [1, 2].map((i) => join(folder, `part${i}`));
    for (const [i, part] of parts.entries())
      await fsyn('bench', ...small, '--explainers', 'oracle,random', '--shard', `${i + 1}/2`, '--out', part);
    const merged = join(folder, 'merged');
    const { code, out } = await fsyn('merge', '--from', parts.join(), '--out', merged);
    expect(code).toBe(0);
    expect(out).toMatch(/explainer +F_syn raw[\s\S]*Oracle/);
    expect(out).toMatch(new RegExp(`4 rows in ${merged}\nNext: \`fsyn report ${merged}\` writes the page`));
  }, 120_000);
});

describe('explain', () => {
  it('takes a given answer and steps, and shows how far it is', async () => {
    await fsyn('dataset', '--dataset', 'presence', '--limit', '1', '--out', join(folder, 'data'));
    const [sample] = readFileSync(join(folder, 'data/samples.jsonl'), 'utf8').trim().split('\n');
    const { image, question } = JSON.parse(sample);
    const run = (answer: string) =>
      runMain(answer === 'yes', [
        ...['explain', '--image', join(folder, 'data', image), '--question', question, '--answer', answer],
        ...[
          '--steps',
          '3',
          '--explainers',
          'Random,Occlusion',
          '--json',
          '--out',
          join(folder, 'explanation'),
        ],
      ]);
    const [yes, no] = [await run('yes'), await run('no')];
    const [first, second] = [yes, no].map(({ out }) => JSON.parse(out));
    expect([first.answer, second.answer]).toEqual(['yes', 'no']);
    expect(first.explanations[1].synergy).not.toBe(second.explanations[1].synergy);
    // A terminal sees every explainer, a log nothing of work that is done in seconds.
    expect(yes.log).toMatch(/0\/2 explainers, Random/);
    expect(no.log).toBe('');
  }, 120_000);
});

const posix = it.runIf(process.platform !== 'win32');

describe('standard output', () => {
  posix('that nobody reads any more ends nothing and prints nothing', async () => {
    const child = spawn(process.execPath, [script, 'bench', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.destroy();
    let log = '';
    child.stderr.on('data', (text) => (log += text));
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
    expect(log).toBe('');
  });

  it.runIf(existsSync('/dev/full'))('that is full is said in one line, with code 1', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(process.execPath, [script, 'bench', '--help'], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^fsyn: cannot write to standard output: .*ENOSPC.*\n$/);
  });
});

describe('shell completion', () => {
  const complete = (...words: string[]) =>
    spawnSync(process.execPath, [script, 'complete', '--', ...words], { encoding: 'utf8' }).stdout;

  it('offers commands, options and the names that options take', () => {
    expect(complete('')).toMatch(/^bench\b.*\n/m);
    expect(complete('bench', '--explai')).toMatch(/^--explainers\b/m);
    expect(complete('bench', '--explainers', '')).toMatch(/^attn-lrp\b/m);
    expect(complete('bench', '--model', '')).toMatch(/^llava-tiny\b/m);
  });

  it.each(['bash', 'zsh', 'fish', 'powershell'])('prints a script for %s', (shell) => {
    const { status, stdout } = spawnSync(process.execPath, [script, 'complete', shell], { encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stdout).toContain('fsyn');
  });
});

describe('doctor', () => {
  it('says what is missing in lines that people read, and nothing beside', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, 'doctor'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    const providers = stdout.split('\n').filter((line) => line.startsWith('provider'));
    expect(providers.length).toBeGreaterThan(0);
    for (const line of providers) {
      expect(line).toMatch(/ (available|not available: .+\.)$/);
      expect(line.length).toBeLessThan(400);
      expect(line).not.toMatch(/onnxruntime_src|FAIL/);
    }
  }, 120_000);
});
