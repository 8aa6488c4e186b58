import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dataset } from '../../lib/datasets/types.js';
import { FsynError } from '../../lib/errors.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import type { Explainer } from '../../lib/explainers/types.js';
import { readReport } from '../../lib/runner/conclude.js';
import { mergeResults } from '../../lib/runner/merge.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { fakeDataset, fakeModel } from './fake-model.js';

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'fsyn-damaged-'));
});
afterEach(() => rmSync(out, { recursive: true, force: true }));

const questions = Array.from({ length: 4 }, (_, i) => `a bb cc d${i}`);
const controls = findExplainers(['oracle', 'random']);
const file = (name: string) => join(out, name);
const read = (name: string) => readFileSync(file(name), 'utf8');
const sorted = (text: string) => text.split('\n').sort().join('\n');
const report = (folder = out) => readReport(folder, { resamples: 100 });

async function benchmark(options: Partial<Parameters<typeof runBenchmark>[0]> = {}) {
  const notes: string[] = [];
  const outcome = await runBenchmark({
    models: [fakeModel()],
    datasets: [fakeDataset(questions)],
    explainers: controls,
    gallerySamples: 2,
    out,
    onNote: (text) => notes.push(text),
    ...options,
  });
  return { ...outcome, notes: notes.join('\n') };
}

/** Puts other bytes in the place of a line (from 0). */
function overwrite(name: string, line: number, bytes: (whole: Buffer) => Buffer): Buffer {
  const lines = read(name).split('\n');
  const damaged = bytes(Buffer.from(lines[line]));
  const parts = lines.map((text, i) => (i === line ? damaged : Buffer.from(text)));
  writeFileSync(file(name), Buffer.concat(parts.flatMap((part) => [part, Buffer.from('\n')]).slice(0, -1)));
  return damaged;
}

const code = async (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error: FsynError) => error.code,
  );

describe('a damaged line in the middle of results.jsonl', () => {
  it.each([
    ['torn', (whole: Buffer) => whole.subarray(0, whole.length / 2)],
    ['a hole of zeros', (whole: Buffer) => Buffer.alloc(whole.length)],
    ['no UTF-8', () => Buffer.from([0xff, 0xfe, 0x00])],
    ['null', () => Buffer.from('null')],
    ['a list', () => Buffer.from('[]')],
    ['a number', () => Buffer.from('1')],
    ['an empty object', () => Buffer.from('{}')],
    ['a version alone', () => Buffer.from('{"schema":1}')],
    [
      'a row with a number missing',
      (whole: Buffer) => Buffer.from(whole.toString().replace(/"full":[^,]+/, '"full":null')),
    ],
  ])('%s: is refused by report, set aside by a resumed run and measured again', async (_, bytes) => {
    await benchmark();
    const whole = read('results.jsonl');
    const damaged = overwrite('results.jsonl', 2, bytes);
    await expect(report()).rejects.toThrow(/results\.jsonl:3.*`fsyn bench --resume` sets such lines aside/s);
    expect(await code(report())).toBe('RESULTS');
    const { resumed, notes } = await benchmark({ resume: true });
    expect(resumed).toBe(7);
    expect(notes).toMatch(
      /WARNING: 1 lines of .*results\.jsonl are no result rows: .*:3.*damaged; what this run lacks/s,
    );
    expect(sorted(read('results.jsonl'))).toBe(sorted(whole));
    expect(readFileSync(file('results.jsonl.damaged'))).toEqual(Buffer.concat([damaged, Buffer.from('\n')]));
    expect((await report()).rows).toBe(8);
  });

  it('is set aside by a merge, counted, and measured again by going on with the merged folder', async () => {
    await benchmark({ out: file('a') });
    const whole = read('a/results.jsonl');
    overwrite('a/results.jsonl', 1, () => Buffer.from('{"schema":1,"key":'));
    const notes: string[] = [];
    expect(mergeResults([file('a')], file('m'), (text) => notes.push(text))).toEqual({
      rows: 7,
      repeated: 0,
      damaged: 1,
    });
    expect(notes.join()).toMatch(
      /a\/results\.jsonl:2 is not JSON.*set aside in .*m\/results\.jsonl\.damaged/,
    );
    expect(read('m/results.jsonl.damaged')).toBe('{"schema":1,"key":\n');
    await benchmark({ out: file('m'), resume: true });
    expect(sorted(read('m/results.jsonl'))).toBe(sorted(whole));
  });

  it('keeps what was set aside before', async () => {
    await benchmark();
    for (const text of ['one', 'two']) {
      overwrite('results.jsonl', 0, () => Buffer.from(text));
      await benchmark({ resume: true });
    }
    expect(read('results.jsonl.damaged')).toBe('one\ntwo\n');
  });
});

describe('what lies beside the rows', () => {
  it.each([
    '',
    '{',
    'null',
    '[]',
    '{"models":5}',
    '{"models":[null]}',
    '{"datasets":7}',
    '{"explainers":{}}',
    '{"explainers":[{"name":3}]}',
    '{"versions":"1"}',
    '{"settings":[]}',
  ])('run.json as %j is a coded error, and written anew by a resumed run', async (text) => {
    await benchmark();
    const whole = read('run.json');
    writeFileSync(file('run.json'), text);
    expect(await code(report())).toBe('RESULTS');
    await expect(report()).rejects.toThrow(/run\.json/);
    expect(() => mergeResults([out], file('merged'))).toThrow(/run\.json/);
    expect(existsSync(file('merged'))).toBe(false);
    await benchmark({ resume: true });
    expect(read('run.json')).toBe(whole);
    expect((await report()).rows).toBe(8);
  });

  it.each([
    ['timings.jsonl', '{'],
    ['timings.jsonl', 'null'],
    ['timings.jsonl', '5'],
    ['timings.jsonl', '{"model":1}'],
    ['gallery.jsonl', '{'],
    ['gallery.jsonl', 'null'],
    ['gallery.jsonl', '{"schema":1}'],
    ['gallery.jsonl', '{"schema":7}'],
  ])('a line of %s that is %s is a coded error, and set aside by a resumed run', async (name, text) => {
    await benchmark();
    const whole = read(name);
    writeFileSync(file(name), `${text}\n${whole}`);
    expect(await code(report())).toBe('RESULTS');
    const { notes } = await benchmark({ resume: true });
    expect(notes).toContain(`1 lines of ${file(name)} are damaged`);
    expect([read(name), read(`${name}.damaged`)]).toEqual([whole, `${text}\n`]);
    expect((await report()).rows).toBe(8);
    appendFileSync(file(name), `${text}\n`);
    mergeResults([out], file('merged'));
    expect((await report(file('merged'))).rows).toBe(8);
  });
});

describe('what is known before the start', () => {
  it.each([
    ['models', { models: [fakeModel(), fakeModel()] }],
    ['datasets', { datasets: [fakeDataset(questions), fakeDataset(['x y'])] }],
    ['explainers', { explainers: [controls[0], controls[0]] }],
  ] as const)('two %s of one name are refused before anything is written', async (kind, options) => {
    rmSync(out, { recursive: true });
    await expect(benchmark(options)).rejects.toThrow(new RegExp(`Two of the ${kind} are called`));
    expect(existsSync(out)).toBe(false);
  });

  const edited = (): Dataset => ({ ...fakeDataset(questions), version: '2' });

  it('edited data are refused when resuming, with both versions, unless they are measured with other settings', async () => {
    await benchmark();
    const before = read('results.jsonl');
    await expect(benchmark({ datasets: [edited()], resume: true })).rejects.toThrow(
      /holds rows of the dataset fake as it was in version 1; it now is 2\. Choose another --out/,
    );
    await expect(
      benchmark({ models: [{ ...fakeModel(), fingerprint: 'fake-2' }], resume: true }),
    ).rejects.toThrow(/the model fake as it was in version fake-1; it now is fake-2/);
    expect(read('results.jsonl')).toBe(before);
    await benchmark({ datasets: [edited()], settings: { seed: 5 }, resume: true });
    expect([...readRecords(out)]).toHaveLength(16);
  });

  it('a folder in work is refused, and its files are not touched', async () => {
    let second: unknown;
    const first = benchmark({
      onProgress: async ({ done }) => {
        if (done === 1) second = await benchmark({ resume: true }).catch((error: unknown) => error);
      },
    });
    expect((await first).keys.size).toBe(8);
    expect(second).toMatchObject({
      code: 'RESULTS',
      message: expect.stringContaining(`Process ${process.pid}`),
    });
    expect(existsSync(file('owner.json'))).toBe(false);
    expect([...readRecords(out)]).toHaveLength(8);
  });
});

describe('what may fail without ending a run', () => {
  it('is a picture that cannot be drawn', async () => {
    const [whole] = [fakeDataset(questions)];
    const empty: Dataset = {
      ...whole,
      async *samples() {
        for await (const sample of whole.samples())
          yield { ...sample, truth: undefined, image: async () => ndarray(new Uint8Array(0), [0, 8, 3]) };
      },
    };
    const { notes, failed } = await benchmark({
      datasets: [empty],
      explainers: findExplainers(['random']),
    });
    expect(failed).toBe(0);
    expect(notes).toMatch(/No picture of q\d for the report: Expected pixels for image/);
  });

  it('is an explainer, whose row says where its error came from', async () => {
    const buggy: Explainer = {
      ...controls[1],
      name: 'buggy',
      attribute: async () => (undefined as unknown as { deep: { down: never } }).deep.down,
    };
    const refusing: Explainer = {
      ...controls[1],
      name: 'refusing',
      attribute: async () => {
        throw new FsynError('UNSUPPORTED_MODEL', 'Not this one.', { cause: new RangeError('no layer 7') });
      },
    };
    await benchmark({ explainers: [buggy, refusing] });
    const [first, second] = [...readRecords(out)].map((row) => (row.status === 'failed' ? row.error : null));
    expect(first).toMatchObject({ code: 'UNEXPECTED', message: expect.stringContaining("reading 'deep'") });
    expect(first?.stack).toMatch(/^TypeError: .*reading 'deep'.*\n\s+at .*tests\/runner\/damaged\.test\.ts/);
    // The same bytes wherever fsyn lies.
    expect(first?.stack).not.toContain(process.cwd());
    expect(second?.code).toBe('UNSUPPORTED_MODEL');
    expect(second?.stack).toMatch(/^RangeError: no layer 7/);
    expect((await report()).failedRows).toBe(8);
  });
});
