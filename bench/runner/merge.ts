import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../../lib/errors.js';
import type { BenchmarkRecord } from '../../lib/report/record.js';
import { ResultStore, readRecords } from './result-store.js';

/**
 * Puts the results of several folders (shards of one run) into a new folder, in the given order.
 *
 * @throws FsynError RESULTS when a folder was run with other settings, models or versions, or when `out` holds results
 * @returns rows written, and rows left out because an equal key came before
 */
export function mergeResults(folders: readonly string[], out: string): { rows: number; repeated: number } {
  const runs = folders.map((folder) => [folder, runDescription(folder)] as const);
  for (const [folder, description] of runs) {
    if (description !== runs[0][1]) {
      throw new FsynError(
        'RESULTS',
        `${folder} was not run like ${runs[0][0]}: their run.json differ, so their rows do not belong together.`,
      );
    }
  }
  const store = ResultStore.open(out, false);
  const seen = new Set<string>();
  let repeated = 0;
  let batch: BenchmarkRecord[] = [];
  const flush = () => {
    store.append(batch);
    batch = [];
  };
  try {
    for (const folder of folders) {
      for (const record of readRecords(folder)) {
        if (seen.has(record.key)) {
          repeated++;
          continue;
        }
        seen.add(record.key);
        batch.push(record);
        if (batch.length === 256) flush();
      }
    }
    flush();
  } finally {
    store.close();
  }
  if (folders.length > 0) copyFileSync(join(folders[0], 'run.json'), join(out, 'run.json'));
  return { rows: seen.size, repeated };
}

function runDescription(folder: string): string {
  const path = join(folder, 'run.json');
  if (!existsSync(path))
    throw new FsynError('RESULTS', `${folder} is no results folder: run.json is missing.`);
  // Shards may run on different machines; everything else must be equal.
  const { machine: _, ...description } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  return JSON.stringify(description);
}
