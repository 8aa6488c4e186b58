import { summaryJson } from '../report/summary.js';
import { suspicionTexts } from '../report/wording.js';
import type { BenchmarkSummary } from '../runner/conclude.js';
import type { CommandIo } from './command.js';

/** Prints a summary as JSON, and beside it what looks like a mistake in scores from outside. */
export function printSummary(
  io: CommandIo,
  summary: BenchmarkSummary & { readonly out: string; readonly page: string | null },
): void {
  for (const { scopes } of summary.models)
    for (const text of suspicionTexts(scopes[0])) io.log(`WARNING: suspicious scores of ${text}.\n`);
  io.out(`${summaryJson(summary)}\n`);
}
