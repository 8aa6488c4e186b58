import { existsSync } from 'node:fs';
import { FsynError } from '../errors.js';
import { resolveOptions } from '../options.js';
import { suggestion } from '../suggestion.js';
import { concatenate } from './compose.js';
import { openCvBench } from './cv-bench.js';
import { type EmbeddedOptions, embeddedDataset } from './embedded/dataset.js';
import { openJsonl } from './jsonl.js';
import { openMmstar } from './mmstar.js';
import { openMmvp } from './mmvp.js';
import type { PublishedOptions } from './published.js';
import { openRepope } from './repope.js';
import type { Dataset } from './types.js';

/** The embedded datasets by name, each mirroring one of the paper's. */
export const embeddedFamilies: ReadonlyMap<string, EmbeddedOptions['families']> = new Map([
  ['presence', ['presence']],
  ['relation', ['relation', 'counting']],
  ['choice', ['choice']],
]);

/** Loaders of local copies of the paper's datasets, for `NAME:PATH` and `NAME/SUBSET:PATH`. */
const published: ReadonlyMap<string, (path: string, options: PublishedOptions) => Promise<Dataset>> = new Map(
  [
    ['repope', openRepope],
    ['cv-bench', openCvBench],
    ['mmstar', openMmstar],
    ['mmvp', openMmvp],
  ],
);

export interface DatasetSettings {
  /** Samples per embedded dataset, which has no end of its own: an integer >= 1. */
  readonly size: number;
  /** Most samples per dataset on disk: >= 1, infinite for all. */
  readonly limit: number;
  /** Decides which samples a limit takes and how embedded scenes are drawn. */
  readonly seed: number;
  /** Whether a data file may name pictures outside its folder, which a report then shows. */
  readonly allowOutside: boolean;
}

/**
 * Opens datasets by name (`presence`, `relation`, `choice`: drawn, nothing is read), name and path
 * (`repope:DIR`, `cv-bench/SUBSET:DIR`, `mmstar:DIR`, `mmvp:DIR`), or path of a JSON Lines file. `NAME=`
 * before any of them gives it another name in results: that is how two files called `samples.jsonl` are told
 * apart.
 *
 * @throws FsynError INVALID_ARGUMENT for a name that is none of these; DATASET where files are missing or
 *   damaged
 */
export async function openDatasets(
  names: readonly string[],
  settings?: Partial<DatasetSettings>,
): Promise<Dataset[]> {
  const defaults: DatasetSettings = {
    size: 60,
    limit: Number.POSITIVE_INFINITY,
    seed: 0,
    allowOutside: false,
  };
  const resolved = resolveOptions('openDatasets', defaults, settings);
  return Promise.all(names.map((name) => openNamed(name, resolved)));
}

async function openNamed(given: string, settings: DatasetSettings): Promise<Dataset> {
  const [, name, rest] = existsSync(given) ? [] : (/^([\w.-]+)=(.+)$/.exec(given) ?? []);
  if (name === undefined) return openOne(given, settings);
  return { ...(await openOne(rest, settings)), name };
}

async function openOne(name: string, settings: DatasetSettings): Promise<Dataset> {
  const { limit, seed, allowOutside } = settings;
  const families = embeddedFamilies.get(name);
  if (families) return embeddedMixture(name, families, settings);
  const [, loader, subset, path] = /^([a-z-]+)(?:\/([^:]+))?:(.+)$/.exec(name) ?? [];
  const open = published.get(loader);
  if (open) return open(path, { subset, limit, seed, allowOutside });
  if (existsSync(name)) return openJsonl(name, { limit, seed, allowOutside });
  if (/[/\\]|\.jsonl?$/.test(name))
    throw new FsynError('INVALID_ARGUMENT', `There is no file ${JSON.stringify(name)} (as a dataset).`);
  const kinds = [...embeddedFamilies.keys(), ...Array.from(published.keys(), (key) => `${key}:PATH`)];
  throw new FsynError(
    'INVALID_ARGUMENT',
    `Expected one of ${kinds.join(', ')} or a JSONL file for dataset but received ${JSON.stringify(name)}` +
      `${suggestion(name, [...embeddedFamilies.keys(), ...published.keys()])}.`,
  );
}

/**
 * Three fifths grounded questions, one fifth each that the question or the image alone answers: of three
 * samples one each.
 */
function embeddedMixture(
  name: string,
  families: EmbeddedOptions['families'],
  { size, seed }: DatasetSettings,
): Dataset {
  const prior = size < 3 ? 0 : Math.max(1, Math.floor(size / 5));
  const parts = [
    { groundings: ['grounded'] as const, size: size - 2 * prior },
    { groundings: ['text-prior'] as const, size: prior },
    { groundings: ['image-prior'] as const, size: prior },
  ];
  return concatenate(
    name,
    parts
      .filter((part) => part.size > 0)
      .map((part) => embeddedDataset({ families, seed, split: 'test', ...part })),
  );
}
