import { existsSync } from 'node:fs';
import { concatenate } from '../datasets/compose.js';
import { openCvBench } from '../datasets/cv-bench.js';
import { type EmbeddedOptions, embeddedDataset } from '../datasets/embedded/dataset.js';
import { openJsonl } from '../datasets/jsonl.js';
import { openMmstar } from '../datasets/mmstar.js';
import type { PublishedOptions } from '../datasets/published.js';
import { openRepope } from '../datasets/repope.js';
import type { Dataset } from '../datasets/types.js';
import { UsageError } from './command.js';

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
  ],
);

export interface DatasetSettings {
  /** Samples per embedded dataset, which has no end of its own. */
  readonly size: number;
  /** Most samples per dataset on disk. */
  readonly limit: number;
  readonly seed: number;
}

/** Opens datasets by name (embedded), name and path (published), or path (JSON Lines). */
export async function loadDatasets(names: readonly string[], settings: DatasetSettings): Promise<Dataset[]> {
  return Promise.all(
    names.map((name) => {
      const families = embeddedFamilies.get(name);
      if (families) return embeddedMixture(name, families, settings);
      const [, loader, subset, path] = /^([a-z-]+)(?:\/([^:]+))?:(.+)$/.exec(name) ?? [];
      const open = published.get(loader);
      if (open) return open(path, { subset, limit: settings.limit, seed: settings.seed });
      if (existsSync(name)) return openJsonl(name, { limit: settings.limit, seed: settings.seed });
      const kinds = [...embeddedFamilies.keys(), ...Array.from(published.keys(), (key) => `${key}:PATH`)];
      throw new UsageError(
        `Expected one of ${kinds.join(', ')} or a JSONL file for --dataset but received ${JSON.stringify(name)}.`,
      );
    }),
  );
}

/** Three fifths grounded questions, one fifth each that the question or the image alone answers. */
function embeddedMixture(
  name: string,
  families: EmbeddedOptions['families'],
  { size, seed }: DatasetSettings,
): Dataset {
  const prior = Math.floor(size / 5);
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
