import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { npyFloat32, parseNpy } from '../../lib/explainers/npy.js';
import { importFolder } from '../../lib/explainers/outside/folder.js';
import { fileNameOf, playersHash } from '../../lib/explainers/outside/record.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { fakeModel } from '../runner/fake-model.js';
import { context, firstImage, image, inside, measured, runInto, text } from './outside-runs.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-import-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const run = (explainers: readonly Explainer[], out: string, more?: { resume?: boolean }) =>
  runInto(explainers, join(home, out), more);

describe('scores from a folder', () => {
  const samples = ['q0', 'q1', 'q2'];

  function fill(name: string, ids: readonly string[], extra: object = {}): string {
    const folder = join(home, name);
    mkdirSync(folder, { recursive: true });
    for (const id of ids)
      writeFileSync(join(folder, `${id}.json`), JSON.stringify({ image, text, ...extra }));
    return folder;
  }

  test('gives the rows of the same explainer in this process, to the last bit', async () => {
    const folder = fill('whole', samples);
    const rows = await run([inside, await importFolder(`import:mine=${folder}`)], 'imported');
    expect(measured(rows, 'mine')).toEqual(measured(rows, 'inside'));
    const [fingerprint] = rows
      .filter((row) => row.explainer === 'mine')
      .map((row) => row.explainerFingerprint);
    expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
  });

  test('names every missing sample before any work', async () => {
    const folder = fill('holes', ['q1']);
    const out = join(home, 'unborn');
    await expect(run([inside, await importFolder(`import:mine=${folder}`)], 'unborn')).rejects.toThrow(
      /no scores of 2 of 3 samples: q0, q2/,
    );
    expect(
      existsSync(join(out, 'results.jsonl')) && readFileSync(join(out, 'results.jsonl'), 'utf8'),
    ).toBeFalsy();
  });

  test('a changed file is not resumed under the old rows', async () => {
    const folder = fill('changing', samples);
    await run([await importFolder(`import:mine=${folder}`)], 'changed');
    const again = await run([await importFolder(`import:mine=${folder}`)], 'changed', { resume: true });
    expect(again).toHaveLength(3);
    writeFileSync(join(folder, 'q1.json'), JSON.stringify({ image: [...image].reverse(), text }));
    await expect(
      run([await importFolder(`import:mine=${folder}`)], 'changed', { resume: true }),
    ).rejects.toMatchObject({ code: 'RESULTS' });
  });

  test('scores that were made for other players are refused', async () => {
    const sample = await fakeModel().prepare(await firstImage(), 'is it red ?');
    const folder = fill('tied', ['q0'], { hash: playersHash(sample) });
    const mine = await importFolder(`import:mine=${folder}`);
    const identity = { dataset: 'fake', sample: 'q0' };
    await expect(mine.attribute({ ...context(sample), identity })).resolves.toMatchObject({});
    const other = await fakeModel().prepare(await firstImage(), 'is it blue ?');
    await expect(mine.attribute({ ...context(other), identity })).rejects.toThrow(/made for other players/);
    await expect(mine.attribute(context(sample))).rejects.toThrow(/found by a sample's id/);
  });

  test('what is no import is refused', async () => {
    for (const bad of ['import:=x', 'import:Name=x', 'import:mine', 'import:mine=']) {
      await expect(importFolder(bad)).rejects.toThrow(/Expected import:NAME=FOLDER/);
    }
    await expect(importFolder(`import:mine=${join(home, 'nowhere')}`)).rejects.toThrow(/there is no folder/);
  });

  test('ids become names of files, and .npy files are written as they are read', () => {
    expect(fileNameOf('val/000 1.jpg?q')).toBe('val%2F000%201.jpg%3Fq');
    // Python: urllib.parse.quote("it's (a) ~*!é", safe="")
    expect(fileNameOf("it's (a) ~*!é")).toBe('it%27s%20%28a%29%20~%2A%21%C3%A9');
    expect(fileNameOf('..')).toBe('%2E.');
    const values = Float32Array.from({ length: 24 }, (_, i) => i / 3);
    expect(parseNpy(npyFloat32(values, [2, 3, 4]), 'x.npy')).toEqual({
      shape: [2, 3, 4],
      values: Float64Array.from(values),
    });
    expect(parseNpy(npyFloat32(values, [24]), 'x.npy').shape).toEqual([24]);
  });
});
