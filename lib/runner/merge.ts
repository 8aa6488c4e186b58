import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { galleryFile, isGalleryRecord } from '../report/gallery.js';
import type { BenchmarkRecord } from '../report/record.js';
import { isTiming, readRunDescription, timingsFile } from '../report/sources.js';
import { completeLines, damagedFile, setAside } from './lines.js';
import { ResultStore } from './result-store.js';
import { readRecords, resultsFile } from './rows.js';
import { SideFile } from './side-file.js';

/** What a merge did. */
export interface MergeOutcome {
  /** Rows written, and rows left out because an equal key came before. */
  readonly rows: number;
  readonly repeated: number;
  /**
   * Lines that are no rows; they are in `results.jsonl.damaged` of the new folder and have to be measured
   * again.
   */
  readonly damaged: number;
}

/**
 * Puts the results of several folders (shards of one run), their times and pictures into a new folder, in the
 * given order.
 *
 * @param onNote hears of lines that are set aside
 * @throws FsynError RESULTS when a folder was run with other settings, models or versions, or when `out`
 *   holds results or is in work
 */
export function mergeResults(
  folders: readonly string[],
  out: string,
  onNote: (text: string) => void = () => {},
): MergeOutcome {
  const runs = folders.map((folder) => ({ folder, description: comparedFields(folder) }));
  refuseDifferent(runs);
  const store = ResultStore.open(out, { resume: false });
  try {
    const counts = copyRows(folders, store, onNote);
    copyLines(folders, timingsFile, new SideFile(join(out, timingsFile), isTiming, onNote));
    copyLines(folders, galleryFile, new SideFile(join(out, galleryFile), isGalleryRecord, onNote));
    if (folders.length > 0) copyFileSync(join(folders[0], 'run.json'), join(out, 'run.json'));
    return counts;
  } catch (error) {
    // Half a merge looks like results; `out` held none before.
    for (const path of [join(out, resultsFile), damagedFile(join(out, resultsFile))])
      rmSync(path, { force: true });
    throw error;
  } finally {
    store.close();
  }
}

function copyRows(
  folders: readonly string[],
  store: ResultStore,
  onNote: (text: string) => void,
): MergeOutcome {
  const seen = new Set<string>();
  let repeated = 0;
  let damaged = 0;
  const path = join(store.folder, resultsFile);
  const putAside = (line: Buffer, why: string) => {
    damaged++;
    setAside(path, [line]);
    onNote(`WARNING: ${why} The line is set aside in ${damagedFile(path)}.`);
  };
  let batch: BenchmarkRecord[] = [];
  for (const folder of folders) {
    for (const record of readRecords(folder, putAside)) {
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
  return { rows: seen.size, repeated, damaged };
}

/** Times and pictures go with the rows; a torn last line of a killed run is left behind. */
function copyLines(folders: readonly string[], name: string, to: SideFile): void {
  for (const folder of folders)
    for (const { bytes } of completeLines(join(folder, name))) to.appendText(bytes.toString('utf8'));
}

interface Run {
  readonly folder: string;
  readonly description: ReadonlyMap<string, string>;
}

function comparedFields(folder: string): Map<string, string> {
  const description = readRunDescription(folder);
  if (description === null)
    throw new FsynError('RESULTS', `${folder} is no results folder: run.json is missing.`);
  // Shards may run on different machines, with other threads, into other folders; everything else must be
  // equal.
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
