import { existsSync } from 'node:fs';
import { concatenate } from '../../bench/datasets/compose.js';
import { type EmbeddedOptions, embeddedDataset } from '../../bench/datasets/embedded/dataset.js';
import { openJsonl } from '../../bench/datasets/jsonl.js';
import type { Dataset } from '../../bench/datasets/types.js';
import { UsageError } from './command.js';

/** The embedded datasets by name, each mirroring one of the paper's. */
export const embeddedFamilies: ReadonlyMap<string, EmbeddedOptions['families']> = new Map([
  ['presence', ['presence']],
  ['relation', ['relation', 'counting']],
  ['choice', ['choice']],
]);

export interface DatasetSettings {
  /** Samples per dataset. */
  readonly size: number;
  readonly seed: number;
}

/** What the embedded model was brought to answer; the other families are for models that can (see its model card). */
export const masteredFamilies: readonly string[] = ['presence'];

/** Opens datasets by name (embedded) or path (JSON Lines). */
export async function loadDatasets(names: readonly string[], settings: DatasetSettings): Promise<Dataset[]> {
  return Promise.all(
    names.map((name) => {
      const families = embeddedFamilies.get(name);
      if (families) return embeddedMixture(name, families, settings);
      if (existsSync(name)) return openJsonl(name, { limit: settings.size });
      throw new UsageError(
        `Expected one of ${[...embeddedFamilies.keys()].join(', ')} or a JSONL file for --dataset but received ${JSON.stringify(name)}.`,
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
