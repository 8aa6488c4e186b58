import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bench } from '../../lib/cli/bench.js';
import { exitCodes } from '../../lib/cli/command.js';
import { explain } from '../../lib/cli/explain.js';
import { pattern } from '../vlm/pattern.js';
import { parseRecords } from './records.js';
import { runCommand } from './run-command.js';

const golden = join(import.meta.dirname, '../golden');
const models = ['vlm-clip', 'vlm-siglip'].map((name) => join(golden, name));
const captions = ['a photo of a red circle', 'two green squares', 'a cat, not a dog'];
let folder: string;
let data: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fsyn-dual-'));
  data = join(folder, 'captions.jsonl');
  for (const i of captions.keys()) {
    const { data: bytes } = pattern(40 + 8 * i, 60);
    await sharp(bytes, { raw: { width: 60, height: 40 + 8 * i, channels: 3 } })
      .png()
      .toFile(join(folder, `${i}.png`));
  }
  const lines = captions.map((question, i) =>
    JSON.stringify({ image: `${i}.png`, question, answer: 'fits' }),
  );
  writeFileSync(data, lines.join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('dual encoders on the command line', () => {
  it('are benchmarked on captions; methods that look inside are failed rows', async () => {
    const out = join(folder, 'results');
    const done = await runCommand(
      bench,
      ...models.flatMap((model) => ['--model', model]),
      ...['--dataset', data, '--explainers', 'occlusion,random,attn-lrp', '--sii-samples', '1'],
      ...['--sii-groups', '2', '--threads', '1', '--out', out],
    );
    expect(done.code).toBe(exitCodes.failures);
    const rows = parseRecords(readFileSync(join(out, 'results.jsonl'), 'utf8'));
    expect(rows).toHaveLength(2 * 3 * 3);
    for (const row of rows) {
      if (row.status === 'failed') {
        expect([row.explainer, row.error.code]).toEqual(['attn-lrp', 'UNSUPPORTED_MODEL']);
        continue;
      }
      expect(row.explainer).not.toBe('attn-lrp');
      expect(row.answer).toMatchObject({ decisionKind: 'similarity', correct: null });
      expect(row.answer.text).toMatch(row.model === 'vlm-clip' ? /^cosine/u : /^probability/u);
      expect(Math.abs(row.corners.full)).toBeLessThanOrEqual(1);
      expect(row.corners.full).toBeCloseTo(Number(row.answer.decisionToken), 4);
    }
    expect(rows.filter((row) => row.status === 'failed')).toHaveLength(6);
    const page = readFileSync(join(out, 'report.html'), 'utf8');
    expect(page).toContain('not judged');
    expect(page).not.toContain('expected “fits”');
    expect(done.out).toContain('accuracy -');
  });

  it('count states, not cells, before a run', async () => {
    const plan = [
      '--model',
      models[0],
      '--dataset',
      data,
      '--explainers',
      'occlusion,random',
      '--dry-run',
      '--json',
    ];
    const { out } = await runCommand(bench, ...plan, '--sii-samples', '0', '--threads', '1');
    const [{ perSample }] = JSON.parse(out).plans;
    const [{ cells, imageStates, textStates, plan: planned }] = perSample;
    expect(cells).toBeGreaterThan(imageStates + textStates);
    // The full image and caption are encoded when the sample is prepared.
    expect(planned).toMatchObject({ cells, imageStates: imageStates - 1, textStates: textStates - 1 });
    expect(planned.flops.total).toBeLessThan(planned.flops.naive);
  });

  it('are explained by the methods that they allow; a refused one is an error when it is named', async () => {
    const asked = [
      '--model',
      models[0],
      '--image',
      join(folder, '0.png'),
      '--question',
      captions[0],
      '--threads',
      '1',
    ];
    const out = join(folder, 'explanation');
    const done = await runCommand(explain, ...asked, '--out', out);
    expect(done.code).toBe(exitCodes.ok);
    expect(done.out).toMatch(/-> cosine similarity -?0\.\d{4}\n/u);
    expect(done.log.match(/Left out, /gu)).toHaveLength(8);
    const written = JSON.parse(readFileSync(join(out, 'explanation.json'), 'utf8'));
    expect(written.explanations.map((one: { explainer: string }) => one.explainer)).toEqual([
      'random',
      'occlusion',
    ]);
    expect(written.textPlayers).toEqual(
      captions[0].split(' ').map((word) => expect.stringContaining(word[0])),
    );
    await expect(runCommand(explain, ...asked, '--explainers', 'tam', '--out', out)).rejects.toMatchObject({
      code: 'UNSUPPORTED_MODEL',
      message: expect.stringContaining('tam'),
    });
  });
});
