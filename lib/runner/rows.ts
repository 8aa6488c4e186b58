import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FsynError, reasonOf } from '../errors.js';
import { type BenchmarkRecord, recordSchema } from '../report/record.js';
import { checkRecord } from '../report/record-check.js';
import { completeLines, damagedFile, type Line } from './lines.js';

export const resultsFile = 'results.jsonl';

/** What a line of a results file turned out to be. */
export type RowLine =
  | { readonly kind: 'row'; readonly record: BenchmarkRecord }
  /** A row of a version that this fsyn does not read. */
  | { readonly kind: 'version'; readonly version: number }
  /** Torn, overwritten or foreign; `why` names the line. */
  | { readonly kind: 'damaged'; readonly why: string };

/** Tells a whole row, which a report can use in full, from everything else. */
export function readLine(path: string, { bytes, number }: Pick<Line, 'bytes' | 'number'>): RowLine {
  const where = `${path}:${number}`;
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return { kind: 'damaged', why: `${where} is not JSON.` };
  }
  const schema = (value as { schema?: unknown } | null)?.schema;
  if (Number.isInteger(schema) && schema !== recordSchema)
    return { kind: 'version', version: Number(schema) };
  try {
    if (schema === undefined)
      throw new FsynError('RESULTS', `${where} is not a result row: it has no schema.`);
    checkRecord(value as BenchmarkRecord, where);
  } catch (error) {
    return { kind: 'damaged', why: reasonOf(error) };
  }
  return { kind: 'row', record: value as BenchmarkRecord };
}

/**
 * Reads the rows of a results folder one after the other, without holding them all; a torn last line is
 * passed over.
 *
 * @param onDamaged takes lines that are no rows, and why; without it they are an error
 * @throws FsynError RESULTS naming file and line for one that is not a row or has another version
 */
export function* readRecords(
  folder: string,
  onDamaged?: (line: Buffer, why: string) => void,
): Generator<BenchmarkRecord> {
  const path = join(folder, resultsFile);
  if (!existsSync(path))
    throw new FsynError('RESULTS', `No results in ${folder}: ${resultsFile} is missing.`);
  for (const line of completeLines(path)) {
    const read = readLine(path, line);
    if (read.kind === 'version') throw foreignVersion(path, line.number, read.version);
    if (read.kind === 'row') yield read.record;
    else if (onDamaged) onDamaged(line.bytes, read.why);
    else
      throw new FsynError(
        'RESULTS',
        `${read.why} \`fsyn bench --resume\` sets such lines aside, into ${basename(damagedFile(path))}, and measures them again; \`fsyn merge\` copies the whole rows into a new folder.`,
      );
  }
}

export function foreignVersion(path: string, number: number, version: number): FsynError {
  return new FsynError(
    'RESULTS',
    `${path}:${number} has result version ${version}, expected ${recordSchema}. ${countVersions(path)}`,
  );
}

/** How many rows there are of every version, so that one knows what a mixed file is made of. */
function countVersions(path: string): string {
  const counts = new Map<string, number>();
  let rows = 0;
  for (const line of completeLines(path)) {
    rows++;
    const read = readLine(path, line);
    const version =
      read.kind === 'row' ? recordSchema : read.kind === 'version' ? read.version : 'none, being damaged';
    counts.set(String(version), (counts.get(String(version)) ?? 0) + 1);
  }
  const list = Array.from(counts, ([version, count]) => `${version}: ${count}`).join(', ');
  return `Of its ${rows} rows by version, ${list}.`;
}
