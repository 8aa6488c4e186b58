import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluatePlayers } from '../../lib/bridge/evaluate.js';
import { type PlayersLine, writePlayers } from '../../lib/bridge/players.js';
import { openDatasets } from '../../lib/datasets/open.js';
import { resolveExplainers } from '../../lib/explainers/module.js';
import { parseNpy } from '../../lib/explainers/npy.js';
import { fileNameOf } from '../../lib/explainers/outside/record.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { loadModels } from '../../lib/runner/models.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { defaultSettings } from '../../lib/runner/settings.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import type { Vlm } from '../../lib/vlm/types.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-players-'));
const out = join(home, 'players');
const settings = { ...defaultSettings, shapleyGroups: 3, shapleyPartitions: 1 };
// Explainers that score no cells of their own: the same cells then meet in the same batches, and bits are
// equal.
const names = ['rollout', 'tam'];
let model: Vlm;
let lines: PlayersLine[];

const datasets = () =>
  openDatasets(['presence', 'choice'], { size: 2, limit: 2, seed: 3, allowOutside: false });

function rowsOf(folder: string): MeasuredRecord[] {
  const text = readFileSync(join(folder, 'results.jsonl'), 'utf8').trim();
  return text.split('\n').map((line) => JSON.parse(line) as MeasuredRecord);
}

beforeAll(async () => {
  [model] = await loadModels(['internvl-tiny']);
  const options = { model, modelSource: 'internvl-tiny', datasets: await datasets(), out, settings };
  expect(await writePlayers({ ...options, pixels: true })).toBe(4);
  const text = readFileSync(join(out, 'players.jsonl'), 'utf8').trim();
  lines = text.split('\n').map((line) => JSON.parse(line) as PlayersLine);
});
afterAll(() => {
  model.dispose();
  rmSync(home, { recursive: true, force: true });
});

describe('players written out', () => {
  test('say of every sample what there is to score', async () => {
    let at = 0;
    for (const dataset of await datasets()) {
      for await (const sample of dataset.samples()) {
        const line = lines[at++];
        const prepared = await model.prepare(await sample.image(), sample.question, {
          instruction: sample.instructions?.[model.architecture] ?? sample.instruction,
          choices: sample.choices,
          ...dataset.masking,
        });
        const { whiteBox } = prepared;
        expect(line).toMatchObject({ dataset: dataset.name, sample: sample.id, answer: sample.answer });
        expect(line.id).toBe(`${dataset.name}/${sample.id}`);
        expect(line.tokenIds).toEqual(Array.from(whiteBox!.tokenIds));
        expect(line.tokenIds![line.decision.position!]).toBe(line.decision.tokenId);
        expect(line.textPlayers.labels).toEqual(prepared.textPlayers.labels);
        expect(line.textPlayers.positions).toEqual(Array.from(whiteBox!.textPositions));
        expect(line.imagePlayers.positions).toEqual(Array.from(whiteBox!.imagePositions));
        const { count, rows, columns } = prepared.imagePlayers;
        expect(line.imagePlayers).toMatchObject({ count, rows, columns, tiles: 1 });
        const picture = await decodeImage(join(out, line.files.picture));
        expect(picture.data).toEqual((await sample.image()).data);
        const pixels = parseNpy(readFileSync(join(out, line.files.pixels!)), 'pixels');
        const input = whiteBox!.visionFeeds[whiteBox!.pixelInput];
        expect(pixels.shape).toEqual(input.shape);
        expect(Float32Array.from(pixels.values)).toEqual(input.data);
      }
    }
    expect(at).toBe(4);
    expect(new Set(lines.map(({ hash }) => hash)).size).toBe(4);
  });

  test('scores made with them give the rows of the run that made the scores, through evaluate and through bench', async () => {
    const run = { models: [model], datasets: await datasets(), settings };
    const explainers = await resolveExplainers(names);
    await runBenchmark({ ...run, explainers, out: join(home, 'direct') });
    const direct = rowsOf(join(home, 'direct'));
    for (const { explainer, dataset, sample, attribution } of direct) {
      const { id, hash } = lines.find((line) => line.dataset === dataset && line.sample === sample)!;
      const folder = join(home, `scores-${explainer}`);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, `${fileNameOf(id)}.json`), JSON.stringify({ ...attribution, hash }));
    }
    const specifications = names.map((name) => `again-${name}=${join(home, `scores-${name}`)}`);
    const evaluated = await evaluatePlayers({
      players: out,
      attributions: specifications,
      out: join(home, 'evaluated'),
    });
    expect(evaluated.outcome.failed).toBe(0);
    expect(evaluated.summary.models[0].scopes[0].explainers.map(({ name }) => name)).toContain(
      'again-rollout',
    );
    const imported = await resolveExplainers(specifications.map((text) => `import:${text}`));
    await runBenchmark({ ...run, explainers: imported, out: join(home, 'imported') });
    const values = ({ attribution, synergy, image, text, corners, players, answer }: MeasuredRecord) => ({
      attribution,
      synergy,
      image,
      text,
      corners,
      players,
      answer,
    });
    for (const row of direct) {
      const again = (folder: string, id: string) =>
        rowsOf(join(home, folder)).find(
          ({ explainer, sample }) => explainer === `again-${row.explainer}` && sample === id,
        )!;
      expect(values(again('imported', row.sample))).toEqual(values(row));
      // The same cells in other batches: equal up to the arithmetic of this model (docs/inference.md).
      const measured = values(again('evaluated', `${row.dataset}/${row.sample}`));
      expect(measured.synergy.raw.mean).toBeCloseTo(row.synergy.raw.mean, 3);
      expect(measured.attribution).toEqual(row.attribution);
    }
  });

  test('are refused with another model', async () => {
    await expect(
      evaluatePlayers({ players: out, attributions: [], model: 'llava-tiny', out: join(home, 'other') }),
    ).rejects.toMatchObject({ code: 'MODEL_CONTRACT' });
    await expect(evaluatePlayers({ players: home })).rejects.toMatchObject({ code: 'DATASET' });
  });
});
