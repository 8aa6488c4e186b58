import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ndarray from 'ndarray';
import { areaUnderCurve } from '../../lib/metrics/steps.js';
import { type GalleryRecord, galleryRecord } from '../../lib/report/gallery.js';
import {
  type BenchmarkRecord,
  type MeasuredRecord,
  type RecordHead,
  recordSchema,
} from '../../lib/report/record.js';
import { deriveSeed, Random } from '../../lib/statistics/random.js';

/**
 * How good a synthetic explainer is: 1 finds the cause, 0 is chance, -1 avoids it; per modality and jointly.
 */
export interface SyntheticExplainer {
  readonly name: string;
  readonly image: number;
  readonly text: number;
  readonly joint: number;
  readonly seconds: number;
}

export const syntheticExplainers: readonly SyntheticExplainer[] = [
  { name: 'oracle', image: 0.9, text: 0.9, joint: 0.9, seconds: 0.0001 },
  { name: 'anti-oracle', image: -0.9, text: -0.9, joint: -0.8, seconds: 0.0001 },
  { name: 'random', image: 0, text: 0, joint: 0, seconds: 0.0002 },
  { name: 'occlusion', image: 0.7, text: 0.5, joint: 0.6, seconds: 0.9 },
  { name: 'grad-cam', image: 0.6, text: -0.2, joint: 0.15, seconds: 0.05 },
  { name: 'attn-lrp', image: 0.1, text: 0.6, joint: 0.55, seconds: 0.12 },
];

export interface FixtureOptions {
  readonly seed: number;
  readonly models: readonly string[];
  readonly datasets: readonly string[];
  /** Samples per dataset. */
  readonly samples: number;
  readonly explainers: readonly SyntheticExplainer[];
  /** Every n-th sample has the Shapley interaction index; 0 for none. */
  readonly shapleyEvery: number;
  /** Every n-th sample's last explainer fails; 0 for none. */
  readonly failEvery: number;
  /** Round curves, so that rows and explainers tie often. */
  readonly ties: boolean;
  /** 1 separates grounded from prior questions, 0 does not. */
  readonly separation: number;
  readonly settings: string;
  /** What the samples need, in turn. */
  readonly groundings: readonly (string | null)[];
}

export const fixtureDefaults: FixtureOptions = {
  seed: 1,
  models: ['tiny-a'],
  datasets: ['presence', 'choice'],
  samples: 24,
  explainers: syntheticExplainers,
  shapleyEvery: 3,
  failEvery: 0,
  ties: false,
  separation: 1,
  settings: 'settings-one',
  groundings: ['grounded', 'grounded', 'text-prior', 'image-prior'],
};

const steps = Array.from({ length: 11 }, (_, i) => i / 10);
const words = ['Is', 'there', 'a', 'red', 'circle', 'left', 'of', 'the', 'square', '?'];
export const grid = 6;

/** Rows of a run that never happened, in the order a runner writes them. */
export function* fixtureRecords(options: Partial<FixtureOptions> = {}): Generator<BenchmarkRecord> {
  const fixture = { ...fixtureDefaults, ...options };
  for (const model of fixture.models) {
    for (const dataset of fixture.datasets) {
      for (let index = 0; index < fixture.samples; index++) {
        for (const [e, explainer] of fixture.explainers.entries()) {
          const head = recordHead(fixture, model, dataset, index, explainer.name);
          const fails =
            fixture.failEvery > 0 && index % fixture.failEvery === 0 && e === fixture.explainers.length - 1;
          yield fails
            ? {
                ...head,
                status: 'failed',
                error: { code: 'OUT_OF_MEMORY', message: 'The gradient <graph> did not fit.' },
              }
            : measuredRecord(fixture, head, index, explainer);
        }
      }
    }
  }
}

function recordHead(
  fixture: FixtureOptions,
  model: string,
  dataset: string,
  index: number,
  explainer: string,
): RecordHead {
  const sample = `${dataset}-${String(index).padStart(4, '0')}`;
  return {
    schema: recordSchema,
    key: `${model}/${sample}/${explainer}`,
    model,
    modelFingerprint: `print-of-${model}`,
    dataset,
    datasetVersion: `${dataset}@1`,
    sample,
    family: dataset,
    grounding: fixture.groundings[index % fixture.groundings.length],
    explainer,
    settings: fixture.settings,
    seed: deriveSeed(fixture.seed, dataset, sample, explainer),
    versions: { fsyn: '0.0.0-test', onnxruntime: '0.0.0' },
    question: words.join(' ').replace(' ?', '?'),
    expected: index % 2 === 0 ? 'yes' : 'no',
  };
}

function measuredRecord(
  fixture: FixtureOptions,
  head: RecordHead,
  index: number,
  explainer: SyntheticExplainer,
): MeasuredRecord {
  const random = new Random(deriveSeed(fixture.seed, head.model, head.key));
  const shared = new Random(deriveSeed(fixture.seed, head.model, head.sample));
  const noise = (size: number) => size * (random.uniform() - 0.5);
  const round = (value: number) => (fixture.ties ? Math.round(4 * value) / 4 : value);
  const grounded = head.grounding === 'grounded';
  // Below the grid of the ties, so that tied fixtures stay tied.
  const strength =
    grounded || fixture.separation === 0 ? 0.4 + 0.4 * shared.uniform() : 0.1 * shared.uniform();
  const quality = explainer.joint + noise(0.3);
  // Rises early for a good explainer, late for a bad one; the end is the same for all.
  const rise = (s: number, q: number) => strength * s ** Math.exp(-1.2 * q);
  const curve = (q: number, spread: number) =>
    steps.map((s, i) => (i === 0 ? 0 : i === 10 ? round(strength) : round(rise(s, q) + noise(spread))));
  const insertion = curve(quality, 0.06);
  const deletion = curve(quality - 0.2, 0.1);
  const scale = Math.max(strength, 0.05);
  const auc = (transform: (value: number) => number) => {
    const inserted = areaUnderCurve(steps, insertion.map(transform));
    const deleted = areaUnderCurve(steps, deletion.map(transform));
    return { insertion: inserted, deletion: deleted, mean: (inserted + deleted) / 2 };
  };
  const shapley =
    fixture.shapleyEvery > 0 && index % fixture.shapleyEvery === 0
      ? steps.map((_, i) =>
          i === 10 ? insertion[10] : (insertion[i] + deletion[i]) / 2 + (i > 0 ? noise(0.04) : 0),
        )
      : null;
  const attribution = (count: number) =>
    Array.from({ length: count }, (_, i) => (i % 5 === index % 5 ? explainer.image : 0) + noise(0.8));
  return {
    ...head,
    status: 'ok',
    answer: {
      text: index % 6 === 5 ? 'Yes.' : head.expected,
      decisionToken: head.expected,
      decisionIndex: 0,
      decisionKind: 'yes-no',
      correct: index % 6 !== 5,
    },
    players: { image: grid * grid, imageRows: grid, imageColumns: grid, text: words.length },
    textLabels: words,
    attribution: { image: attribution(grid * grid), text: attribution(words.length) },
    steps,
    corners: { full: 0.1 + strength, textOnly: 0.1, imageOnly: 0.1, empty: 0.1 },
    image: perturbation(explainer.image + noise(0.3), round, random),
    text: perturbation(explainer.text + noise(0.3), round, random),
    synergy: {
      insertion,
      deletion,
      raw: auc((value) => value),
      normalised: auc((value) => value / scale),
      clipped: auc((value) => Math.min(Math.max(value / scale, 0), 1)),
    },
    shapley: shapley && { curve: shapley, auc: areaUnderCurve(steps, shapley), partitionDeviation: 0.01 },
  };
}

function perturbation(quality: number, round: (value: number) => number, random: Random) {
  const wobble = () => 0.05 * (random.uniform() - 0.5);
  const insertion = steps.map((s) => round(0.1 + 0.8 * s ** Math.exp(-quality) + wobble()));
  const deletion = steps.map((s) => round(0.9 - 0.8 * s ** Math.exp(-quality) + wobble()));
  const insertionAuc = areaUnderCurve(steps, insertion);
  const deletionAuc = areaUnderCurve(steps, deletion);
  return {
    insertion,
    deletion,
    insertionAuc,
    deletionAuc,
    normalisedInsertionAuc: insertionAuc / 0.8,
    normalisedDeletionAuc: deletionAuc / 0.8,
    srg: insertionAuc - deletionAuc,
    normalisedSrg: (insertionAuc - deletionAuc) / 0.8,
  };
}

/** A picture with a disc and a bar, and the cells of a 6 x 6 grid. */
export function fixturePicture(identity: {
  model: string;
  dataset: string;
  sample: string;
}): Promise<GalleryRecord> {
  const [width, height] = [300, 240];
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const disc = (x - 90) ** 2 + (y - 80) ** 2 < 50 ** 2;
      const bar = x > 180 && x < 260 && y > 60 && y < 200;
      data.set(disc ? [210, 60, 50] : bar ? [40, 90, 200] : [225, 225 - y / 4, 200], 3 * (y * width + x));
    }
  }
  const boxes = Float64Array.from({ length: 4 * grid * grid }, (_, i) => {
    const cell = Math.floor(i / 4);
    const [column, row] = [cell % grid, Math.floor(cell / grid)];
    return [column * 50, row * 40, (column + 1) * 50, (row + 1) * 40][i % 4];
  });
  return galleryRecord(identity, {
    image: ndarray(data, [height, width, 3]),
    imagePlayers: { count: grid * grid, rows: grid, columns: grid, tiles: 1, boxes },
  });
}

/**
 * Writes a whole results folder. @param pictures gallery samples per model and dataset; null for no
 * gallery.jsonl
 */
export async function writeFixture(
  folder: string,
  options: Partial<FixtureOptions> = {},
  pictures: number | null = 3,
): Promise<void> {
  const fixture = { ...fixtureDefaults, ...options };
  mkdirSync(folder, { recursive: true });
  const lines = (rows: Iterable<unknown>) => [...rows].map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(folder, 'results.jsonl'), lines(fixtureRecords(fixture)));
  const seconds = Object.fromEntries(fixture.explainers.map(({ name, seconds }) => [name, seconds]));
  const samples = fixture.models.flatMap((model) =>
    fixture.datasets.flatMap((dataset) =>
      Array.from({ length: fixture.samples }, (_, i) => ({
        model,
        dataset,
        sample: `${dataset}-${String(i).padStart(4, '0')}`,
      })),
    ),
  );
  const timings = samples.map((sample) => ({
    ...sample,
    cells: 364,
    imageStates: 92,
    explainSeconds: seconds,
    evaluateSeconds: 1.5,
  }));
  writeFileSync(join(folder, 'timings.jsonl'), lines(timings));
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({
      schema: recordSchema,
      models: fixture.models.map((name) => ({
        name,
        architecture: 'llava',
        fingerprint: `print-of-${name}`,
      })),
      datasets: fixture.datasets.map((name) => ({ name, version: `${name}@1`, size: fixture.samples })),
      explainers: fixture.explainers.map(({ name }) => ({ name, title: `The ${name}`, reference: 'test' })),
      settings: { seed: fixture.seed, scoring: 'probability' },
      versions: { fsyn: '0.0.0-test' },
    }),
  );
  if (pictures === null) return;
  const shown = samples.filter(({ sample }) => Number(sample.slice(-4)) < pictures);
  writeFileSync(join(folder, 'gallery.jsonl'), lines(await Promise.all(shown.map(fixturePicture))));
}
