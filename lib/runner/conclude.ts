import { join } from 'node:path';
import { FsynError, reasonOf } from '../errors.js';
import { resolveOptions } from '../options.js';
import { renderHtml } from '../report/html.js';
import { buildReport, type Report, type ReportOptions } from '../report/report.js';
import { type ModelSummary, summariseReport, summaryJson } from '../report/summary.js';
import type { ToldApart } from '../report/told-apart.js';
import { writeWhole } from '../whole-file.js';
import { readRecords, resultsFile } from './rows.js';
import type { BenchmarkOutcome } from './run-options.js';

/**
 * Computes the report of a results folder: `buildReport` on its rows.
 *
 * @throws FsynError RESULTS for a folder without rows, with rows of several settings, models or versions, and
 *   damaged rows
 */
export function readReport(folder: string, options?: Partial<ReportOptions>): Promise<Report> {
  return buildReport(folder, readRecords(folder), join(folder, resultsFile), options);
}

/** What `summary.json` holds. */
export interface BenchmarkSummary {
  readonly models: readonly ModelSummary[];
  readonly seconds: number;
  readonly cells: number;
  readonly failed: number;
  readonly resumed: number;
  /** How far rankings were settled; empty unless the run was to stop when they are. */
  readonly toldApart: readonly ToldApart[];
}

export interface ConcludeOptions {
  /** Bootstrap resamples of every interval, and the seed of the resampling. */
  readonly resamples: number;
  readonly seed: number;
  /** Hears why there is no report, where rows say nothing. */
  readonly onNote: (text: string) => void;
  readonly signal: AbortSignal | undefined;
}

export interface BenchmarkConclusion {
  /** Null where the rows say nothing, an empty shard's say: the report is a by-product and fails no run. */
  readonly report: Report | null;
  readonly summary: BenchmarkSummary;
  /** Path of the page; null where there is none. */
  readonly page: string | null;
}

/**
 * Reads the rows of a run that `runBenchmark` finished, and writes what they say beside them: `summary.json`
 * and `report.html`.
 *
 * @param out folder of the run
 * @param outcome what `runBenchmark` returned: only the rows of this run are reported on
 * @throws FsynError RESULTS when a file cannot be written; the signal's reason when aborted
 */
export async function concludeBenchmark(
  out: string,
  outcome: BenchmarkOutcome,
  options?: Partial<ConcludeOptions>,
): Promise<BenchmarkConclusion> {
  const defaults: ConcludeOptions = { resamples: 2000, seed: 0, onNote: () => {}, signal: undefined };
  const { onNote, ...how } = resolveOptions('concludeBenchmark', defaults, options);
  const { keys, seconds, cells, failed, resumed, toldApart } = outcome;
  const report = await readReport(out, { keys, ...how }).catch((error: unknown) => {
    if (!(error instanceof FsynError)) throw error;
    onNote(`No report: ${error.message}`);
    return null;
  });
  const summary = {
    models: report ? summariseReport(report) : [],
    seconds,
    cells,
    failed,
    resumed,
    toldApart,
  };
  writeWhole(join(out, 'summary.json'), `${summaryJson(summary, 2)}\n`);
  return { report, summary, page: report && (await writePage(report, onNote, how.signal)) };
}

/**
 * Writes a report's page beside its rows and returns its path: an extra, whose failure takes nothing from the
 * run.
 */
async function writePage(
  report: Report,
  onNote: (text: string) => void,
  signal: AbortSignal | undefined,
): Promise<string | null> {
  const path = join(report.source, 'report.html');
  try {
    writeWhole(path, await renderHtml(report));
    return path;
  } catch (error) {
    signal?.throwIfAborted();
    onNote(`No page: ${reasonOf(error)}`);
    return null;
  }
}
