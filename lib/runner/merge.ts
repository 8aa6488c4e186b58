import { copyFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { galleryFile } from '../report/gallery.js';
import type { BenchmarkRecord } from '../report/record.js';
import { completeLines, ResultStore, readRecords, resultsFile, SideFile } from './result-store.js';

/**
 * Puts the results of several folders (shards of one run), their times and pictures into a new folder, in the given order.
 *
 * @throws FsynError RESULTS when a folder was run with other settings, models or versions, or when `out` holds results
 * @returns rows written, and rows left out because an equal key came before
 */
export function mergeResults(folders: readonly string[], out: string): { rows: number; repeated: number } {
  const runs = folders.map((folder) => ({ folder, description: runDescription(folder) }));
  refuseDifferent(runs);
  const store = ResultStore.open(out, false);
  try {
    const counts = copyRows(folders, store);
    for (const name of ['timings.jsonl', galleryFile]) copyLines(folders, out, name);
    if (folders.length > 0) copyFileSync(join(folders[0], 'run.json'), join(out, 'run.json'));
    return counts;
  } catch (error) {
    // Half a merge looks like results; `out` held none before.
    rmSync(join(out, resultsFile), { force: true });
    throw error;
  } finally {
    store.close();
  }
}

function copyRows(folders: readonly string[], store: ResultStore): { rows: number; repeated: number } {
  const seen = new Set<string>();
  let repeated = 0;
  let batch: BenchmarkRecord[] = [];
  for (const folder of folders) {
    for (const record of readRecords(folder)) {
      if (seen.has(record.key)) {
        repeated++;
        continue;
      }
      seen.add(record.key);
      batch.push(record);
      if (batch.length === 256) {
        store.append(batch);
        batch = [];
      }
    }
  }
  store.append(batch);
  return { rows: seen.size, repeated };
}

/** Times and pictures go with the rows; a torn last line of a killed run is left behind. */
function copyLines(folders: readonly string[], out: string, name: string): void {
  const file = new SideFile(join(out, name));
  for (const folder of folders) {
    if (!existsSync(join(folder, name))) continue;
    for (const { text } of completeLines(join(folder, name))) file.append(JSON.parse(text) as object);
  }
}

interface Run {
  readonly folder: string;
  readonly description: ReadonlyMap<string, string>;
}

function runDescription(folder: string): Map<string, string> {
  const path = join(folder, 'run.json');
  if (!existsSync(path))
    throw new FsynError('RESULTS', `${folder} is no results folder: run.json is missing.`);
  let description: Record<string, unknown>;
  try {
    description = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch (cause) {
    throw new FsynError('RESULTS', `${path} is not JSON.`, { cause });
  }
  // Shards may run on different machines, with other threads, into other folders; everything else must be equal.
  const { machine: _, invocation: __, ...compared } = description;
  return new Map(Object.entries(compared).map(([name, value]) => [name, JSON.stringify(value)]));
}

/** Names every folder that was not run like the first, and in what it differs. */
function refuseDifferent(runs: readonly Run[]): void {
  const different = runs.flatMap(({ folder, description }) => {
    const first = runs[0].description;
    const names = [...new Set([...first.keys(), ...description.keys()])];
    const fields = names.filter((name) => first.get(name) !== description.get(name));
    return fields.length > 0 ? [`${folder} (${fields.join(', ')})`] : [];
  });
  if (different.length === 0) return;
  throw new FsynError(
    'RESULTS',
    `${different.length} of ${runs.length} folders were not run like ${runs[0].folder}, so their rows do not belong together: ` +
      `${different.join('; ')}.`,
  );
}
