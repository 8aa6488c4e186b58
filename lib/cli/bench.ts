import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import { resolveExplainers } from '../explainers/module.js';
import { asPublished, explainers } from '../explainers/registry.js';
import type { Explainer } from '../explainers/types.js';
import { renderConsole } from '../report/console.js';
import { buildReport, type Report } from '../report/report.js';
import { summariseReport, summaryJson } from '../report/summary.js';
import { planBenchmark } from '../runner/plan.js';
import { readRecords, resultsFile } from '../runner/result-store.js';
import { type BenchmarkOutcome, runBenchmark } from '../runner/run.js';
import { type BenchmarkSettings, defaultSettings } from '../runner/settings.js';
import { type Command, type CommandIo, exitCodes, type OptionValues, UsageError } from './command.js';
import { embeddedFamilies, loadDatasets } from './datasets.js';
import { renderDryRun } from './dry-run.js';
import { loadSettings, maskingOptions, runtimeOptions } from './model-options.js';
import { embeddedModels, loadModels } from './models.js';
import { duration, ProgressLine } from './progress.js';
import { writePage } from './report.js';

/** Sizes of a run where none is given: a first look at the embedded grid in a few minutes on two cores, and all of it. */
const quick = { size: 6, limit: 40, shapley: 1, groups: 3, partitions: 1 };
const full = {
  size: 60,
  limit: Number.POSITIVE_INFINITY,
  shapley: 5,
  groups: defaultSettings.shapleyGroups,
  partitions: defaultSettings.shapleyPartitions,
};

export const bench: Command = {
  name: 'bench',
  summary: 'rank explainers by synergistic faithfulness',
  description:
    'Measures every explainer on every sample of every dataset for every model: F_syn, unimodal curves and, on some\n' +
    'samples, the exact Shapley interaction index. Without --model it takes all embedded models, without --dataset all\n' +
    'embedded datasets: together the grid of the paper in small.\n' +
    'Results are one JSON line per sample, explainer and model; a killed run goes on with --resume.',
  options: {
    model: {
      kind: 'list',
      value: 'DIR',
      help: 'embedded model or model directory; repeatable (default: all embedded models)',
    },
    dataset: {
      kind: 'list',
      value: 'NAME',
      help: 'embedded dataset, JSONL file, or repope:DIR, cv-bench:DIR, mmstar:DIR; repeatable',
      fallback: [...embeddedFamilies.keys()],
    },
    explainers: {
      kind: 'list',
      value: 'NAMES',
      help: `comma-separated: ${explainers.map((e) => e.name).join(', ')}; or a file of your own, ./my-explainer.mjs`,
      fallback: ['all'],
    },
    limit: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: `samples per dataset (default: ${quick.size} of an embedded one, ${quick.limit} of another; with --full ${full.size}, all)`,
    },
    full: {
      kind: 'flag',
      help: 'all samples instead of a first look, and more of them with the exact index',
    },
    'sii-samples': {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      help: `samples per dataset with the exact Shapley interaction index, which costs about 30 F_syn each (default: ${quick.shapley}; with --full ${full.shapley})`,
    },
    'sii-groups': {
      kind: 'integer',
      value: 'G',
      minimum: 1,
      help: `background groups of the Shapley interaction index (default: ${quick.groups}; with --full ${full.groups}, as published)`,
    },
    'sii-partitions': {
      kind: 'integer',
      value: 'P',
      minimum: 1,
      help: `random partitions that it is averaged over (default: ${quick.partitions}; with --full ${full.partitions})`,
    },
    gallery: {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      help: 'samples per dataset whose picture is kept for the report',
      fallback: 12,
    },
    seed: {
      kind: 'integer',
      value: 'S',
      minimum: 0,
      help: 'seed of samples, controls and partitions',
      fallback: 0,
    },
    out: { kind: 'string', value: 'DIR', help: 'results folder (default results/<date and time>)' },
    resume: { kind: 'flag', help: 'go on with the results in --out' },
    'retry-failed': { kind: 'flag', help: 'with --resume: run failed rows again' },
    shard: {
      kind: 'string',
      value: 'I/N',
      help: 'measure only part I (from 1) of N; put the parts together with fsyn merge',
      fallback: '1/1',
    },
    json: { kind: 'flag', help: 'print the summary, or the plan of a dry run, as JSON' },
    'dry-run': {
      kind: 'flag',
      help: 'print what would be evaluated and stop: cells, image states, batches, operations, memory, fallbacks',
    },
    'plan-samples': {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'with --dry-run: samples per dataset that are prepared and planned',
      fallback: 1,
    },
    scoring: {
      kind: 'string',
      value: 'KIND',
      choices: ['probability', 'log-probability', 'answer'],
      help: 'value of a cell',
      fallback: 'probability',
    },
    compat: {
      kind: 'string',
      value: 'MODE',
      choices: ['none', 'reference'],
      help: 'reference: score tokens, clip curves and set gradient methods as the published code does',
      fallback: 'none',
    },
    'include-instruction': { kind: 'flag', help: 'tokens of the answer-format instruction are players too' },
    'include-template': {
      kind: 'flag',
      help: 'tokens of the chat template inside the user turn are players too',
    },
    ...maskingOptions,
    ...runtimeOptions,
  },
  async run(values, io) {
    const chosen = await resolveExplainers(values.list('explainers'));
    const named = values.string('compat') === 'reference' ? asPublished(chosen) : chosen;
    const shard = parseShard(values.string('shard')!);
    const seed = values.number('seed')!;
    const sizes = sizesOf(values);
    const shapleySamples = values.number('sii-samples') ?? sizes.shapley;
    const datasets = await loadDatasets(values.list('dataset'), {
      size: values.number('limit') ?? sizes.size,
      limit: values.number('limit') ?? sizes.limit,
      seed,
    });
    for (const note of datasets.flatMap(({ notes }) => notes ?? [])) io.log(`${note}\n`);
    const selected = values.list('explainers').includes('all') ? withoutTruth(named, datasets, io) : named;
    const out = values.string('out') ?? defaultFolder();
    const models = await loadModels(modelsOf(values), loadSettings(values, io.signal));
    const progress = new ProgressLine(io.log, io.interactive);
    try {
      if (values.flag('dry-run')) {
        const plans = await planBenchmark({
          models,
          datasets,
          explainers: selected,
          settings: settingsOf(values),
          shapleySamples,
          shard,
          planSamples: values.number('plan-samples')!,
          signal: io.signal,
        });
        io.out(values.flag('json') ? `${JSON.stringify({ plans })}\n` : renderDryRun(plans));
        return exitCodes.ok;
      }
      const outcome = await runBenchmark({
        models,
        datasets,
        explainers: selected,
        out,
        resume: values.flag('resume'),
        retryFailed: values.flag('retry-failed'),
        shard,
        shapleySamples,
        gallerySamples: values.number('gallery')!,
        settings: settingsOf(values),
        signal: io.signal,
        onNote: (text) => {
          progress.end();
          io.log(`${text}\n`);
        },
        onProgress: ({ done, total, failed, model, dataset, resumedSamples }) =>
          progress.update(
            done,
            total,
            `samples, ${model} on ${dataset}${failed > 0 ? `, ${failed} rows failed` : ''}`,
            resumedSamples,
          ),
      });
      await finish(out, outcome, seed, values.flag('json'), io);
      return outcome.failed > 0 ? exitCodes.failures : exitCodes.ok;
    } catch (error) {
      progress.end();
      if (io.signal.aborted && !values.flag('dry-run'))
        io.log(
          `Finished rows and cells are kept: go on with \`fsyn bench --resume --out ${out}\` and the same options.\n`,
        );
      throw error;
    } finally {
      for (const model of models) model.dispose();
    }
  },
};

function modelsOf(values: OptionValues): readonly string[] {
  const named = values.list('model');
  return named.length > 0 ? named : [...embeddedModels().keys()];
}

function sizesOf(values: OptionValues): typeof quick {
  return values.flag('full') ? full : quick;
}

function settingsOf(values: OptionValues): BenchmarkSettings {
  const sizes = sizesOf(values);
  return {
    ...defaultSettings,
    seed: values.number('seed')!,
    scoring: values.string('scoring') as BenchmarkSettings['scoring'],
    compat: values.string('compat') as BenchmarkSettings['compat'],
    baseline: values.string('baseline') as BenchmarkSettings['baseline'],
    blurRadius: values.number('blur-radius'),
    blurUnit: values.string('blur-unit') as BenchmarkSettings['blurUnit'],
    textMasking: values.string('text-masking') as BenchmarkSettings['textMasking'],
    includeInstruction: values.flag('include-instruction'),
    includeTemplate: values.flag('include-template'),
    shapleyGroups: values.number('sii-groups') ?? sizes.groups,
    shapleyPartitions: values.number('sii-partitions') ?? sizes.partitions,
  };
}

/** Of `all`, the explainers that can run: the Oracle controls need ground truth that some data lack throughout. */
function withoutTruth(all: readonly Explainer[], datasets: readonly Dataset[], io: CommandIo): Explainer[] {
  if (!datasets.every(({ truthless }) => truthless)) return [...all];
  const left = all.filter(({ needsTruth }) => needsTruth).map(({ name }) => name);
  io.log(`No sample has ground truth, so ${left.join(' and ')} are left out of all explainers.\n`);
  return all.filter(({ needsTruth }) => !needsTruth);
}

/** Reads the rows of the run once, and writes and prints what they say. */
async function finish(
  out: string,
  outcome: BenchmarkOutcome,
  seed: number,
  json: boolean,
  io: CommandIo,
): Promise<void> {
  const { keys, seconds, cells, failed, resumed } = outcome;
  const built = await reportOf(out, keys, seed, io);
  const summary = { models: built ? summariseReport(built) : [], seconds, cells, failed, resumed };
  writeFileSync(join(out, 'summary.json'), `${summaryJson(summary, 2)}\n`);
  const page = built && (await writePage(built));
  if (json) io.out(`${summaryJson({ out, page, ...summary })}\n`);
  else io.out(`\n${built ? `${renderConsole(built)}\n\n` : ''}${closing(out, page, outcome)}\n`);
}

/** The report is a by-product: rows that say nothing (an empty shard, say) do not fail the run. */
async function reportOf(
  out: string,
  keys: ReadonlySet<string>,
  seed: number,
  io: CommandIo,
): Promise<Report | null> {
  try {
    return await buildReport(out, readRecords(out), join(out, resultsFile), {
      keys,
      seed,
      signal: io.signal,
    });
  } catch (error) {
    if (!(error instanceof FsynError)) throw error;
    io.log(`No report: ${error.message}\n`);
    return null;
  }
}

function parseShard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (!index || Number(index) < 1 || Number(index) > Number(count)) {
    throw new UsageError(`Expected I/N with 1 <= I <= N for --shard but received ${JSON.stringify(text)}.`);
  }
  return { index: Number(index) - 1, count: Number(count) };
}

function defaultFolder(): string {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
  return join('results', stamp);
}

function closing(out: string, page: string | null, outcome: BenchmarkOutcome): string {
  const parts = [`${outcome.cells} cells in ${duration(outcome.seconds)}`];
  if (outcome.resumed > 0) parts.push(`${outcome.resumed} rows found from before`);
  if (outcome.foundCells > 0)
    parts.push(`${outcome.foundCells} cells found from before, ${outcome.computedCells} scored now`);
  if (outcome.halvings > 0)
    parts.push(`${outcome.halvings} batches did not fit into memory and were halved (see --memory)`);
  parts.push(`${outcome.failed} rows failed`, `results in ${out}`);
  if (page !== null) parts.push(`page with charts and samples: ${page}`);
  return parts.join('; ');
}
