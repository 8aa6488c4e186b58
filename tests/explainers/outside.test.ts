import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { commandExplainer, splitCommand } from '../../lib/explainers/outside/command.js';
import { playersHash } from '../../lib/explainers/outside/record.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { packageInfo } from '../../lib/package.js';
import { fakeModel } from '../runner/fake-model.js';
import { context, firstImage, image, inside, measured, runInto, text } from './outside-runs.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-outside-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const run = (explainers: readonly Explainer[], out: string, more?: { resume?: boolean }) =>
  runInto(explainers, join(home, out), more);

function script(name: string, body: string): string {
  const path = join(home, name);
  writeFileSync(path, body);
  return path;
}

/**
 * A child in JavaScript that answers as `answer(request, count)` says; `count` begins at 1 for the first
 * attribute.
 */
function child(name: string, answer: string): string {
  const path = script(
    `${name}.mjs`,
    `import { createInterface } from 'node:readline';
let count = 0;
const say = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n');
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'shutdown') return process.exit(0);
  if (method === 'initialize') return say(id, { name: ${JSON.stringify(name)}, version: '1' });
  count++;
  ${answer}
});
`,
  );
  return `exec:${process.execPath} ${path}`;
}

const scores = `{ image: ${JSON.stringify(image)}, text: ${JSON.stringify(text)} }`;

describe('explainers in another process', () => {
  test('gives the rows of the same explainer in this process, to the last bit', async () => {
    const outside = await commandExplainer(child('outside', `say(id, ${scores});`));
    const rows = await run([inside, outside], 'same');
    expect(measured(rows, 'outside')).toEqual(measured(rows, 'inside'));
    expect(measured(rows, 'outside')).toHaveLength(3);
    expect(rows.find(({ explainer }) => explainer === 'outside')?.explainerFingerprint).toMatch(
      /^[0-9a-f]{64}$/,
    );
  });

  test('tells the child what there is to score', async () => {
    const path = join(home, 'record.json');
    const outside = await commandExplainer(
      child(
        'asks',
        `import('node:fs').then(({ existsSync, writeFileSync }) => {
          writeFileSync(${JSON.stringify(path)}, JSON.stringify({ ...params, seen: existsSync(params.files.picture) }));
          say(id, ${scores});
        });`,
      ),
    );
    const sample = await fakeModel().prepare(await firstImage(), 'is it red ?');
    const identity = { dataset: 'fake', sample: 'q0' };
    await outside.attribute({ ...context(sample), identity, seed: 7 });
    await outside.close?.();
    const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(record).toMatchObject({
      schema: 1,
      ...identity,
      hash: playersHash(sample),
      seen: true,
      seed: 7,
      question: 'is it red ?',
      decision: { text: 'yes', answer: 'yes' },
      imagePlayers: { count: 16, tiles: 1, rows: 4, columns: 4, order: 'tiles, rows, columns' },
      textPlayers: { labels: ['is', 'it', 'red', '?'], positions: [0, 1, 2, 3] },
    });
    const { boxes } = record.imagePlayers as { boxes: number[][] };
    expect(boxes[5]).toEqual([2, 2, 4, 4]);
    // The pictures are gone with the explainer.
    expect(existsSync((record.files as { picture: string }).picture)).toBe(false);
  });

  const failures: [name: string, answer: string, expected: RegExp, code: string][] = [
    [
      'garbage',
      `console.log('loading weights'); say(id, ${scores});`,
      /"loading weights" to its standard output/,
      'EXPLAINER',
    ],
    [
      'wrong-shape',
      `say(id, { image: [1, 2], text: ${JSON.stringify(text)} });`,
      /\[4, 4\].*received \[2\]/,
      'ATTRIBUTION',
    ],
    [
      'not-finite',
      `say(id, { image: ${JSON.stringify(image)}, text: [1, null, 2, 3] });`,
      /not a number/,
      'ATTRIBUTION',
    ],
    ['nothing', 'say(id, {});', /without "image" and "text"/, 'ATTRIBUTION'],
    ['out-of-turn', `say(7777, ${scores});`, /answered request 7777 out of turn/, 'EXPLAINER'],
    [
      'error',
      `process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, error: { message: 'no GPU' } }) + '\\n');`,
      /reports: no GPU/,
      'EXPLAINER',
    ],
    [
      'crash',
      `console.error('out of memory'); process.exit(3);`,
      /exit code 3; it said last: out of memory/,
      'EXPLAINER',
    ],
  ];
  test.each(failures)(
    '%s is the named failure of its row, the others are measured',
    async (name, answer, expected, code) => {
      const outside = await commandExplainer(child(name, answer));
      const rows = await run([inside, outside], `failing-${name}`);
      const failed = rows.filter((row) => row.explainer === name);
      expect(failed).toHaveLength(3);
      for (const row of failed) {
        if (row.status !== 'failed') throw new Error('the row was measured');
        expect(row.error.code).toBe(code);
        expect(row.error.message).toMatch(expected);
      }
      expect(measured(rows, 'inside').every(Boolean)).toBe(true);
    },
  );

  test('is started again once, and not twice', async () => {
    const logged: string[] = [];
    // Every process answers once and then ends.
    const command = child('mortal', `if (count > 1) process.exit(1); say(id, ${scores});`);
    const outside = await commandExplainer(command, { onLog: (line) => logged.push(line) });
    const rows = await run([outside], 'mortal');
    expect(rows.map(({ status }) => status)).toEqual(['ok', 'failed', 'ok']);
    expect(logged).toEqual(['mortal ended and is started again']);
  });

  test('is stopped where it is silent, and by the signal', async () => {
    const silent = child('silent', '');
    const slow = await commandExplainer(silent, { timeout: 0.3 });
    const [row] = await run([slow], 'silent');
    expect(row).toMatchObject({ status: 'failed', error: { code: 'EXPLAINER' } });
    expect(row.status === 'failed' && row.error.message).toMatch(/no answer to attribute within 0.3 s/);

    const outside = await commandExplainer(silent);
    const controller = new AbortController();
    const sample = await fakeModel().prepare(await firstImage(), 'is it red ?');
    const waiting = outside.attribute({ ...context(sample), signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 100);
    await expect(waiting).rejects.toThrow('enough');
    await outside.close?.();
  });

  test('a stream without newlines is cut off, and standard error without them does no harm', async () => {
    const endless = child(
      'endless',
      `const part = 'x'.repeat(2 ** 24); const write = () => process.stdout.write(part, write); write();`,
    );
    const [row] = await run([await commandExplainer(endless)], 'endless');
    expect(row.status === 'failed' && row.error.message).toMatch(/a line of more than 67108864 characters/);

    const logged: string[] = [];
    const loud = child('loud', `process.stderr.write('y'.repeat(10 * 2 ** 20)); say(id, ${scores});`);
    const rows = await run([await commandExplainer(loud, { onLog: (line) => logged.push(line) })], 'loud');
    expect(rows.map(({ status }) => status)).toEqual(['ok', 'ok', 'ok']);
    expect(Math.max(...logged.map(({ length }) => length))).toBe(2 ** 16);
  });

  test('what is written in pieces, in broken UTF-8, or in numbers that JSON has not', async () => {
    const pieces = child(
      'pieces',
      `const text = JSON.stringify({ jsonrpc: '2.0', id, result: ${scores} }) + '\\r\\n';
       const bytes = Buffer.from(text); process.stdout.write(bytes.subarray(0, 40));
       setTimeout(() => process.stdout.write(bytes.subarray(40)), 20);`,
    );
    const rows = await run([await commandExplainer(pieces), inside], 'pieces');
    expect(measured(rows, 'pieces')).toEqual(measured(rows, 'inside'));

    const broken = child('broken', `process.stdout.write(Buffer.from([0xff, 0xfe, 0x0a]));`);
    const [garbled] = await run([await commandExplainer(broken)], 'broken');
    expect(garbled.status === 'failed' && garbled.error.message).toMatch(/no JSON-RPC message/);

    const nan = child(
      'nan',
      `process.stdout.write('{"jsonrpc": "2.0", "id": ' + id + ', "result": {"image": [NaN], "text": []}}\\n');`,
    );
    const [unscored] = await run([await commandExplainer(nan)], 'nan');
    expect(unscored.status === 'failed' && unscored.error.message).toMatch(/NaN and Infinity are no scores/);
  });

  test.skipIf(process.platform === 'win32')(
    'a wrapper ends with what it started, and one that ignores shutdown is ended',
    async () => {
      const path = child('wrapped', `console.error(process.pid);`).slice('exec:'.length).split(' ')[1];
      const wrapper = script(
        'wrapper.mjs',
        `import { spawn } from 'node:child_process';
spawn(process.execPath, [${JSON.stringify(path)}], { stdio: 'inherit' });
setInterval(() => {}, 1000);
`,
      );
      const logged: string[] = [];
      const command = `exec:${process.execPath} ${wrapper}`;
      const silent = await commandExplainer(command, { timeout: 1, onLog: (line) => logged.push(line) });
      const [row] = await run([silent], 'wrapped');
      expect(row.status === 'failed' && row.error.message).toMatch(/no answer to attribute within 1 s/);
      await expect.poll(() => isAlive(Number(logged[0])), { timeout: 5000 }).toBe(false);

      // The wrapped process ends at shutdown, the wrapper does not.
      const stubborn = await commandExplainer(command);
      const start = performance.now();
      await stubborn.close?.();
      expect(performance.now() - start).toBeLessThan(10_000);
    },
  );

  test('a command that is none is refused before any work', async () => {
    await expect(commandExplainer('exec:')).rejects.toMatchObject({ code: 'EXPLAINER' });
    await expect(commandExplainer('exec:no-such-program-anywhere')).rejects.toThrow(/cannot be started/);
    await expect(commandExplainer(`exec:${process.execPath} -e 0`)).rejects.toThrow(/ended with exit code 0/);
    await expect(commandExplainer(child('Bad_Name', ''))).rejects.toThrow(/lower-case letters/);
    expect(splitCommand(`python3 "my file.py" --x='a b' c`)).toEqual([
      'python3',
      'my file.py',
      '--x=a b',
      'c',
    ]);
  });
});

describe('the helper in Python', () => {
  const python = spawnSync('python3', ['--version']).status === 0;
  const numpy = spawnSync('python3', ['-c', 'import numpy']).status === 0;
  if (!python) console.warn('The helper in Python was not run: there is no python3.');
  else if (!numpy) console.warn('The explainer with numpy was not run: it is not installed.');

  const explainer = (returned: string) => `
from fsyn_bridge import explainer, serve
import json, os
${returned.includes('numpy') ? 'import numpy' : ''}

IMAGE = ${JSON.stringify(image)}
TEXT = ${JSON.stringify(text)}

@explainer(name="in-python", title="In Python", reference="a test", version="2")
def explain(sample):
    print("explaining", sample["sample"])
    assert os.path.exists(sample["files"]["picture"])
    assert sample["imagePlayers"]["rows"] == 4 and len(sample["textPlayers"]["labels"]) == 4
    return ${returned}

serve()
`;

  const variants: [string, string, boolean][] = [
    ['of the standard library alone', 'IMAGE, TEXT', python],
    ['with numpy', 'numpy.array(IMAGE).reshape(4, 4), numpy.array(TEXT)', numpy],
  ];
  for (const [name, returned, runs] of variants) {
    test.skipIf(!runs)(`an explainer ${name} gives the same rows, to the last bit`, async () => {
      const folder = join(home, name.replaceAll(' ', '-'));
      mkdirSync(folder);
      copyFileSync(join(packageInfo().root, 'lib/bridge/fsyn_bridge.py'), join(folder, 'fsyn_bridge.py'));
      writeFileSync(join(folder, 'mine.py'), explainer(returned));
      const logged: string[] = [];
      const outside = await commandExplainer(`exec:python3 "${join(folder, 'mine.py')}"`, {
        onLog: (line) => logged.push(line),
      });
      expect(outside).toMatchObject({ name: 'in-python', title: 'In Python', reference: 'a test' });
      const rows = await run([inside, outside], `python-${returned.includes('numpy')}`);
      expect(measured(rows, 'in-python')).toEqual(measured(rows, 'inside'));
      expect(logged.filter((line) => line.startsWith('explaining'))).toHaveLength(3);
    });
  }

  test.skipIf(!python)('an exception and a NaN are failures that name their reason', async () => {
    const folder = join(home, 'raising');
    mkdirSync(folder);
    copyFileSync(join(packageInfo().root, 'lib/bridge/fsyn_bridge.py'), join(folder, 'fsyn_bridge.py'));
    const path = join(folder, 'mine.py');
    writeFileSync(path, explainer('1 / 0, TEXT'));
    const raising = await run([await commandExplainer(`exec:python3 ${path}`)], 'python-raising');
    expect(raising[0]).toMatchObject({ status: 'failed', error: { code: 'EXPLAINER' } });
    expect(JSON.stringify(raising[0])).toMatch(/ZeroDivisionError: division by zero/);
    writeFileSync(path, explainer('[float("nan")] * 16, TEXT'));
    const nan = await run([await commandExplainer(`exec:python3 ${path}`)], 'python-nan');
    expect(JSON.stringify(nan[0])).toMatch(/ValueError: Out of range float/);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
