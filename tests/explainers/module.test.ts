import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bench } from '../../lib/cli/bench.js';
import { exitCodes } from '../../lib/cli/command.js';
import { explain } from '../../lib/cli/explain.js';
import { speedup } from '../../lib/cli/speedup.js';
import { isExplainerPath, loadExplainers, resolveExplainers } from '../../lib/explainers/module.js';
import { explainers } from '../../lib/explainers/registry.js';
import type { ExplainContext } from '../../lib/explainers/types.js';
import { parseRecords } from '../cli/records.js';
import { runCommand } from '../cli/run-command.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-module-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, source: string): string {
  const path = join(folder, name);
  writeFileSync(path, source);
  return path;
}

/** An explainer whose text scores are `sign` times the tokens' numbers. */
const source = (name: string, sign: string) => `export default {
  name: '${name}', title: 'Mine', reference: 'test', needsTruth: false,
  async attribute({ sample, truth }) {
    if (truth !== undefined) throw new Error('saw the truth');
    return {
      image: Array.from({ length: sample.imagePlayers.count }, (_, i) => i),
      text: Float64Array.from(sample.textPlayers.labels, (_, i) => ${sign}i),
    };
  },
};`;

const context = { sample: { imagePlayers: { count: 2 }, textPlayers: { labels: ['a', 'b'] } } };
const attribute = (value: unknown) =>
  file(
    `gives-${Math.abs(JSON.stringify(value ?? null).length)}-${typeof value}.mjs`,
    `export default {
    name: 'gives', title: 'Gives', reference: 'test', needsTruth: false, attribute: async () => (${JSON.stringify(value)}),
  };`,
  );

describe('an explainer file', () => {
  it('is told from a name by how it is written', () => {
    expect(['./mine', '../mine', '/a/mine', 'mine.js', 'mine.mjs'].map(isExplainerPath)).not.toContain(false);
    expect(['all', 'grad-cam', ...explainers.map(({ name }) => name)].map(isExplainerPath)).not.toContain(
      true,
    );
  });

  it('gives one explainer or several, with the hash of its bytes, and arrays as typed ones', async () => {
    const [one] = await loadExplainers(file('one.mjs', source('one', '-')));
    expect(one).toMatchObject({
      name: 'one',
      title: 'Mine',
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/u),
    });
    const scores = await one.attribute({ ...context, truth: undefined } as unknown as ExplainContext);
    expect(scores).toEqual({ image: Float64Array.of(0, 1), text: Float64Array.of(-0, -1) });
    const two = await loadExplainers(
      file(
        'two.mjs',
        `const make = (name) => ({ name, title: name, reference: 'test', needsTruth: false, attribute() {} });
        export default [make('x'), make('y')];`,
      ),
    );
    expect(two.map(({ name }) => name)).toEqual(['x', 'y']);
    expect(two[0].fingerprint).not.toBe(one.fingerprint);
  });

  it('may be a class instance, whose methods keep their object', async () => {
    const [mine] = await loadExplainers(
      file(
        'class.mjs',
        `class Mine {
        name = 'class'; title = 'Class'; reference = 'test'; needsTruth = true; #score = 3;
        async attribute({ truth }) { return { image: [this.#score], text: [truth.text.length] }; }
      }
      export default new Mine();`,
      ),
    );
    const scores = await mine.attribute({ ...context, truth: { text: [1, 0] } } as unknown as ExplainContext);
    expect(scores).toEqual({ image: Float64Array.of(3), text: Float64Array.of(2) });
  });

  it('does not see the truth unless it says that it looks', async () => {
    const [mine] = await loadExplainers(file('blind.mjs', source('blind', '')));
    const seen = { ...context, truth: { image: new Uint8Array(2), text: new Uint8Array(2) } };
    await expect(mine.attribute(seen as unknown as ExplainContext)).resolves.toBeDefined();
  });

  it('is read anew after a change', async () => {
    const path = file('changing.mjs', source('first', ''));
    const [before] = await loadExplainers(path);
    writeFileSync(path, source('second', ''));
    const [after] = await loadExplainers(path);
    expect([before.name, after.name]).toEqual(['first', 'second']);
    expect(after.fingerprint).not.toBe(before.fingerprint);
  });

  it.each([
    ['no such file', undefined, /Cannot read the explainer file .*ENOENT/u],
    ['a mistake in its syntax', 'export default {', /Cannot import the explainer file/u],
    ['a mistake while it is loaded', 'throw new Error("no luck");', /no luck/u],
    ['no default export', 'export const mine = 1;', /no default export/u],
    ['an empty list', 'export default [];', /empty list/u],
    ['something else', 'export default 7;', /expected an explainer object but found 7/u],
    [
      'every fault of an explainer',
      'export default { name: "My Explainer", title: "", needsTruth: "no", cells: 3 };',
      /name: expected .* found "My Explainer"; title: .*; reference: expected .* found undefined; needsTruth: expected true or false but found "no"; attribute: expected a function .*; cells: expected a function/u,
    ],
    [
      'which of several is at fault',
      `${source('good', '').replace('export default', 'const good =')} export default [good, {}];`,
      /explainer 2 of 2 is no explainer/u,
    ],
    ['a name that means all', source('all', ''), /name: expected/u],
  ])('names %s', async (_, text, message) => {
    const name = `bad-${Math.abs(text?.length ?? 0)}.mjs`;
    const path = text === undefined ? join(folder, 'missing.mjs') : file(name, text);
    await expect(loadExplainers(path)).rejects.toMatchObject({
      code: 'EXPLAINER',
      message: expect.stringMatching(message),
    });
  });

  it.each([
    [undefined],
    [{ image: [1, 2] }],
    [{ image: [1, 2], text: ['a', 'b'] }],
    [{ image: 3, text: [1, 2] }],
  ])('is named when it gives %j', async (value) => {
    const [mine] = await loadExplainers(attribute(value));
    await expect(mine.attribute(context as unknown as ExplainContext)).rejects.toMatchObject({
      code: 'ATTRIBUTION',
      message: expect.stringMatching(/^gives of gives-.*one number per player/u),
    });
  });

  it('may not take a name of fsyn, nor one twice', async () => {
    await expect(resolveExplainers([file('taken.mjs', source('random', ''))])).rejects.toMatchObject({
      code: 'EXPLAINER',
      message: expect.stringContaining('"random"'),
    });
    const path = file('again.mjs', source('again', ''));
    await expect(resolveExplainers([path, path])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(resolveExplainers(['random', 'nonsense'])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    const mixed = await resolveExplainers(['all', path]);
    expect(mixed.map(({ name }) => name)).toEqual([
      ...explainers.filter(({ byNameOnly }) => !byNameOnly).map(({ name }) => name),
      'again',
    ]);
  });
});

describe('an explainer file on the command line', () => {
  const model = ['--model', 'llava-tiny', '--threads', '1'];

  it('is measured beside others; its hash is in rows, run.json and page; a changed file is not resumed', async () => {
    const path = file('mine.mjs', source('mine', '-'));
    const out = join(folder, 'results');
    const run = (...more: string[]) =>
      runCommand(
        bench,
        ...[...model, '--dataset', 'presence', '--limit', '2', '--sii-samples', '0', '--out', out],
        ...['--explainers', `random,${path}`, ...more],
      );
    const done = await run();
    expect(done.code).toBe(exitCodes.ok);
    const text = readFileSync(join(out, 'results.jsonl'), 'utf8');
    const rows = parseRecords(text);
    const [{ fingerprint }] = await loadExplainers(path);
    expect(rows.map((row) => [row.explainer, row.explainerFingerprint])).toEqual([
      ['random', undefined],
      ['mine', fingerprint],
      ['random', undefined],
      ['mine', fingerprint],
    ]);
    const description = JSON.parse(readFileSync(join(out, 'run.json'), 'utf8'));
    expect(description.explainers[1]).toMatchObject({ name: 'mine', title: 'Mine', fingerprint });
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain(fingerprint);

    const again = await run('--resume');
    expect(again.out).toContain('4 rows found from before');
    expect(readFileSync(join(out, 'results.jsonl'), 'utf8')).toBe(text);

    writeFileSync(path, source('mine', ''));
    await expect(run('--resume')).rejects.toMatchObject({
      code: 'RESULTS',
      message: expect.stringMatching(/mine.*SHA-256 .*now is a file with SHA-256/u),
    });
    expect(readFileSync(join(out, 'results.jsonl'), 'utf8')).toBe(text);
  });

  it('is a failed row where it throws, and is taken by explain and speedup too', async () => {
    const broken = file(
      'broken.mjs',
      `export default { name: 'broken', title: 'Broken', reference: 'test', needsTruth: false,
        async attribute() { throw new Error('not today'); } };`,
    );
    const out = join(folder, 'broken');
    const failing = await runCommand(
      bench,
      ...[...model, '--dataset', 'presence', '--limit', '1', '--sii-samples', '0'],
      ...['--explainers', broken, '--out', out],
    );
    expect(failing.code).toBe(exitCodes.failures);
    const [row] = parseRecords(readFileSync(join(out, 'results.jsonl'), 'utf8'));
    expect(row).toMatchObject({ status: 'failed', error: { message: 'not today' } });

    const path = file('both.mjs', source('both', '-'));
    // Measuring a speedup takes a minute; that files are resolved there too shows in the error of one that is
    // missing.
    const missing = join(folder, 'missing.mjs');
    await expect(runCommand(speedup, ...model, '--explainers', missing)).rejects.toMatchObject({
      code: 'EXPLAINER',
    });
    const image = join(import.meta.dirname, '../golden/vlm-images/rgb.png');
    const shown = await runCommand(
      explain,
      ...[...model, '--image', image, '--question', 'Is there a red circle?', '--explainers', path],
      ...['--out', join(folder, 'explained'), '--json'],
    );
    const [only] = JSON.parse(shown.out).explanations;
    expect([only.explainer, only.text[1]]).toEqual(['both', -1]);
  });
});
