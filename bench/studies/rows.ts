import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Behaviour, behaviourOf } from '../../lib/metrics/modality.js';
import { areaUnderCurve } from '../../lib/metrics/steps.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { readRecords } from '../../lib/runner/rows.js';

/** Numbers kept of every row, in the order of `StudySample.rows`. */
export const variants = ['raw', 'normalised', 'clipped', 'open', 'insertion', 'deletion'] as const;
export type Variant = (typeof variants)[number];

/** One sample of one model, with F_syn of every explainer and of chance. */
export interface StudySample {
  readonly model: string;
  readonly dataset: string;
  readonly sample: string;
  readonly behaviour: Behaviour;
  readonly rows: Readonly<Record<string, readonly number[]>>;
  /** Mean of the sample's random orders; raw, open, insertion and deletion only. */
  readonly chance: Readonly<Partial<Record<Variant, number>>>;
}

// Compiled code lies in dist/, the rows in the repository.
export const studyFile = join(
  fileURLToPath(new URL('../../', import.meta.url)).replace(/dist\/$/, ''),
  'bench/studies/ranking-rows.jsonl',
);

export function readStudy(): StudySample[] {
  const lines = readFileSync(studyFile, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as StudySample);
}

export const scoreOf = ({ rows }: StudySample, explainer: string, variant: Variant) =>
  rows[explainer][variants.indexOf(variant)];

/** The samples of results folders, with the explainers that all samples of their model have. */
export function collectStudy(folders: readonly string[]): StudySample[] {
  const samples = new Map<string, StudySample & { rows: Record<string, number[]> }>();
  for (const folder of folders) {
    for (const record of readRecords(folder)) {
      if (record.status !== 'ok') continue;
      const { model, dataset, sample } = record;
      const key = JSON.stringify([model, dataset, sample]);
      const known = samples.get(key) ?? {
        model,
        dataset,
        sample,
        behaviour: behaviourOf(record.corners, 0.05),
        rows: {},
        chance: chanceOf(record),
      };
      known.rows[record.explainer] = numbersOf(record);
      samples.set(key, known);
    }
  }
  const all = [...samples.values()];
  return all.map((sample) => {
    const peers = all.filter(({ model }) => model === sample.model);
    const common = Object.entries(sample.rows).filter(([name]) => peers.every(({ rows }) => name in rows));
    return { ...sample, rows: Object.fromEntries(common) };
  });
}

function numbersOf({ synergy, steps }: MeasuredRecord): number[] {
  const { raw, normalised, clipped } = synergy;
  const open = (openArea(steps, synergy.insertion) + openArea(steps, synergy.deletion)) / 2;
  return [raw.mean, normalised.mean, clipped.mean, open, raw.insertion, raw.deletion].map(rounded);
}

function chanceOf({ steps, chance }: MeasuredRecord): StudySample['chance'] {
  if (chance === undefined) return {};
  const insertion = areaUnderCurve(steps, chance.insertion);
  const deletion = areaUnderCurve(steps, chance.deletion);
  const open = (openArea(steps, chance.insertion) + openArea(steps, chance.deletion)) / 2;
  return {
    raw: rounded((insertion + deletion) / 2),
    open: rounded(open),
    insertion: rounded(insertion),
    deletion: rounded(deletion),
  };
}

const openArea = (steps: readonly number[], curve: readonly number[]) =>
  areaUnderCurve(steps.slice(0, -1), curve.slice(0, -1));

const rounded = (value: number) => Math.round(value * 1e6) / 1e6;
