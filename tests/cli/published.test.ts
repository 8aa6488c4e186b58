import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { bench } from '../../lib/cli/bench.js';
import { EMBEDDED_MASKING, embeddedDataset } from '../../lib/datasets/embedded/dataset.js';
import { inputXGradient } from '../../lib/explainers/input-x-gradient.js';
import { releaseWhiteBoxSessions } from '../../lib/explainers/white-box/model.js';
import { packageInfo } from '../../lib/package.js';
import { loadVlm } from '../../lib/vlm/load.js';
import { contextOf } from '../explainers/helpers.js';
import { parseRecords } from './records.js';
import { runCommand } from './run-command.js';

const folder = mkdtempSync(join(tmpdir(), 'fsyn-published-'));
afterAll(() => {
  releaseWhiteBoxSessions();
  rmSync(folder, { recursive: true });
});

async function attributions(compat: string) {
  const out = join(folder, compat);
  const small = ['--limit', '1', '--sii-samples', '0', '--gallery', '0', '--threads', '1', '--seed', '5'];
  const chosen = [
    '--model',
    'llava-tiny',
    '--dataset',
    'presence',
    '--explainers',
    'input-x-gradient,rollout',
  ];
  await runCommand(bench, ...chosen, ...small, '--compat', compat, '--out', out);
  const rows = parseRecords(readFileSync(join(out, 'results.jsonl'), 'utf8'));
  return Object.fromEntries(
    rows.map((row) => [row.explainer, row.status === 'ok' ? row.attribution : undefined]),
  );
}

test('--compat reference runs the gradient methods with published parameters', {
  timeout: 180_000,
}, async () => {
  const [ours, theirs] = [await attributions('none'), await attributions('reference')];
  expect(theirs.rollout).toEqual(ours.rollout);
  const data = embeddedDataset({ families: ['presence'], size: 1, seed: 5 });
  const { value: item } = await data.samples().next();
  const vlm = await loadVlm(join(packageInfo().root, 'bench/models/llava-tiny/model'));
  const sample = await vlm.prepare(await item!.image(), item!.question, EMBEDDED_MASKING);
  const expected = async (explainer: ReturnType<typeof inputXGradient>) =>
    Array.from((await explainer.attribute(contextOf(sample))).text);
  const close = (text: readonly number[]) => text.map((value) => expect.closeTo(value, 5));
  expect(ours['input-x-gradient']?.text).toEqual(close(await expected(inputXGradient())));
  const published = inputXGradient({ target: 'log-probability', reference: 'zero' });
  expect(theirs['input-x-gradient']?.text).toEqual(close(await expected(published)));
  expect(theirs['input-x-gradient']?.image).not.toEqual(ours['input-x-gradient']?.image);
  vlm.dispose();
});
