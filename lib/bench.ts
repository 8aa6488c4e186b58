/**
 * fsyn/bench: the benchmark of `fsyn bench` for programs.
 *
 * Choose datasets and explainers by name, load models, run, read what the rows say; a killed run goes on with
 * `resume`. Nothing here starts a process, prints, or reads the command line.
 *
 * @example
 * const models = await loadModels(['llava-tiny']);
 * const chosen = await chooseBenchmark({ datasets: ['presence'], explainers: ['oracle', 'random'], limit: 5
 * }); const outcome = await runBenchmark({ ...chosen, models, out: 'results/first' }); const { report } =
 * await concludeBenchmark('results/first', outcome); if (report) console.log(renderConsole(report));
 *
 * @module
 */

export type { AuditedRecord, AuditRecord } from './audit/record.js';
export { type AuditOptions, type AuditOutcome, runAudit } from './audit/run.js';
export { type AuditScope, type ModelAudit, rankQuestions, summariseAudit } from './audit/summary.js';
export { type EvaluatedPlayers, type EvaluatePlayersOptions, evaluatePlayers } from './bridge/evaluate.js';
export { type WritePlayersOptions, writePlayers } from './bridge/players.js';
export { concatenate } from './datasets/compose.js';
export { openCvBench } from './datasets/cv-bench.js';
export { type EmbeddedDataset, type EmbeddedOptions, embeddedDataset } from './datasets/embedded/dataset.js';
export { writeDataset } from './datasets/embedded/files.js';
export { type JsonlOptions, openJsonl } from './datasets/jsonl.js';
export { openMmstar } from './datasets/mmstar.js';
export { type DatasetSettings, embeddedFamilies, openDatasets } from './datasets/open.js';
export type { PublishedOptions } from './datasets/published.js';
export { openRepope } from './datasets/repope.js';
export type { Dataset, Grounding, GroundTruth, Sample } from './datasets/types.js';
export { type ErrorCode, FsynError } from './errors.js';
export { loadExplainers, resolveExplainers } from './explainers/module.js';
export { distributeOver, type QueueOptions } from './queue/coordinator.js';
export type { OpenedRun } from './queue/measured-run.js';
export type { Ticket } from './queue/protocol.js';
export { clearQueue, queueStatus, type RunStatus } from './queue/status.js';
export { runWorker, type WorkerOptions, type WorkerOutcome } from './queue/worker.js';
export { renderConsole } from './report/console.js';
export { renderCsv } from './report/csv.js';
export { renderHtml } from './report/html.js';
export { renderMarkdown } from './report/markdown.js';
export type { BenchmarkRecord, FailedRecord, MeasuredRecord, RecordHead } from './report/record.js';
export { buildReport, type ModelReport, type Report, type ReportOptions } from './report/report.js';
export type { ExplainerAnalysis, ScopeAnalysis } from './report/scope.js';
export { type ModelSummary, summariseReport, summaryJson } from './report/summary.js';
export {
  type BenchmarkChoice,
  type BenchmarkSizes,
  type ChosenBenchmark,
  chooseBenchmark,
  firstLook,
  fullSize,
} from './runner/choose.js';
export {
  type BenchmarkConclusion,
  type BenchmarkSummary,
  type ConcludeOptions,
  concludeBenchmark,
  readReport,
} from './runner/conclude.js';
export type { Distribute, DistributedJob, Distribution } from './runner/distribute.js';
export { mergeResults } from './runner/merge.js';
export { embeddedModels, type LoadModelsOptions, loadModels } from './runner/models.js';
export {
  type CellCount,
  type DatasetPlan,
  type DryRunOptions,
  planBenchmark,
  type SamplePlan,
} from './runner/plan.js';
export { readRecords } from './runner/rows.js';
export { runBenchmark } from './runner/run.js';
export type { BenchmarkOptions, BenchmarkOutcome, BenchmarkProgress } from './runner/run-options.js';
export { type BenchmarkSettings, defaultSettings } from './runner/settings.js';
