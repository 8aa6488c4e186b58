import type { BenchmarkRecord } from '../../lib/report/record.js';

/** Rows of a results file's text. */
export function parseRecords(text: string): BenchmarkRecord[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as BenchmarkRecord);
}
