import { join } from 'node:path';
import { embeddedFamilies } from '../datasets/open.js';
import { closeExplainers } from '../explainers/module.js';
import { explainers } from '../explainers/registry.js';
import { defaultSteps, evenSteps } from '../metrics/steps.js';
import { distributeOver } from '../queue/coordinator.js';
import { renderConsole } from '../report/console.js';
import { type RunDescription, readRunFile } from '../report/sources.js';
import { type BenchmarkChoice, chooseBenchmark, firstLook, fullSize } from '../runner/choose.js';
import { concludeBenchmark } from '../runner/conclude.js';
import { embeddedModels, loadModels } from '../runner/models.js';
import { planBenchmark } from '../runner/plan.js';
import { runBenchmark } from '../runner/run.js';
import type { BenchmarkOutcome, BenchmarkProgress } from '../runner/run-options.js';
import type { BenchmarkSettings } from '../runner/settings.js';
import type { UntilToldApart } from '../runner/until-told-apart.js';
import { type Guarantee, guarantees } from '../statistics/sequential.js';
import { wrapText } from '../text-table.js';
import { asUsage, type Command, exitCodes, type OptionValues, UsageError } from './command.js';
import { renderDryRun } from './dry-run.js';
import {
  explainerTimeout,
  loadSettings,
  maskingOf,
  maskingOptions,
  runtimeOptions,
} from './model-options.js';
import { duration, ProgressLine } from './progress.js';
import { queueForms, queueName } from './queue-options.js';
import { printSummary } from './summary-output.js';

export const bench: Command = {
  name: 'bench',
  summary: 'rank explainers by synergistic faithfulness',
  description:
    'Measures every explainer on every sample of every dataset for every model: F_syn, unimodal curves and, on some\n' +
    'samples, the exact Shapley interaction index. Without --model it takes all embedded models, without --dataset all\n' +
    'embedded datasets: together the grid of the paper in small.\n' +
    'Results are one JSON line per sample, explainer and model; a killed run goes on with --resume.',
  options: {
    config: {
      kind: 'string',
      transient: true,
      value: 'FILE',
      help: 'options from a JSON file; the run.json of a results folder does that run again. Options beside it come first',
    },
    model: {
      kind: 'list',
      value: 'DIR',
      known: [...embeddedModels().keys()],
      help: 'embedded model or model directory, NAME=DIR to name it; repeatable (default: all embedded models)',
    },
    dataset: {
      kind: 'list',
      value: 'NAME',
      known: [...embeddedFamilies.keys()],
      help: 'embedded dataset, JSONL file, or repope:DIR, cv-bench:DIR, mmstar:DIR, mmvp:DIR; NAME=... to name it; repeatable',
      fallback: [...embeddedFamilies.keys()],
    },
    'allow-outside': {
      kind: 'flag',
      help: 'read pictures that a data file names outside its folder (the report shows them)',
    },
    explainers: {
      kind: 'list',
      value: 'NAMES',
      known: ['all', ...explainers.map(({ name }) => name)],
      help: `comma-separated: ${explainers.map((e) => e.name).join(', ')}; or a file of your own, ./my-explainer.mjs; import:NAME=DIR for scores from files; "exec:COMMAND" for a program that explains (fsyn bridge)`,
      fallback: ['all'],
    },
    'explainer-timeout': explainerTimeout,
    limit: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: `samples per dataset (default: ${firstLook.size} of an embedded one, ${firstLook.limit} of another; with --full ${fullSize.size}, all)`,
    },
    full: {
      kind: 'flag',
      help: 'all samples instead of a first look, and more of them with the exact index',
    },
    'sii-samples': {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      help: `samples per dataset with the exact Shapley interaction index, which costs about 30 F_syn each (default: ${firstLook.shapleySamples}; with --full ${fullSize.shapleySamples})`,
    },
    'sii-groups': {
      kind: 'integer',
      value: 'G',
      minimum: 1,
      help: `background groups of the Shapley interaction index (default: ${firstLook.shapleyGroups}; with --full ${fullSize.shapleyGroups}, as published)`,
    },
    'sii-partitions': {
      kind: 'integer',
      value: 'P',
      minimum: 1,
      help: `random partitions that it is averaged over (default: ${firstLook.shapleyPartitions}; with --full ${fullSize.shapleyPartitions})`,
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
    out: {
      kind: 'string',
      transient: true,
      value: 'DIR',
      help: 'results folder (default results/<date and time>)',
    },
    resume: { kind: 'flag', transient: true, help: 'go on with the results in --out' },
    'retry-failed': { kind: 'flag', transient: true, help: 'with --resume: run failed rows again' },
    shard: {
      kind: 'string',
      transient: true,
      value: 'I/N',
      help: 'measure only part I (from 1) of N; put the parts together with fsyn merge',
      fallback: '1/1',
    },
    queue: {
      kind: 'string',
      transient: true,
      value: 'URL',
      help: `measure with the workers of a queue (fsyn worker), ${queueForms}`,
    },
    'queue-name': queueName,
    json: { kind: 'flag', transient: true, help: 'print the summary, or the plan of a dry run, as JSON' },
    'dry-run': {
      kind: 'flag',
      transient: true,
      help: 'print what would be evaluated and stop: cells, image states, batches, operations, memory, fallbacks',
    },
    'plan-samples': {
      kind: 'integer',
      transient: true,
      value: 'N',
      minimum: 1,
      help: 'with --dry-run: samples per dataset that are prepared and planned',
      fallback: 1,
    },
    'needs-both': {
      kind: 'flag',
      help: 'measure only questions for which the model needs image and text; four cells each decide first',
    },
    'until-told-apart': {
      kind: 'string',
      value: 'ALPHA',
      help: 'stop when the ranking is certain: the chance of any false order is at most ALPHA, 0.05 say. Explainers whose place is certain are measured no more',
    },
    'told-apart': {
      kind: 'string',
      value: 'A,B',
      help: 'with --until-told-apart: only the order of these two explainers',
    },
    guarantee: {
      kind: 'string',
      value: 'KIND',
      choices: [...guarantees],
      help: 'with --until-told-apart. certified: for every number of samples; asymptotic: of many samples only, needs fewer',
      fallback: 'certified',
    },
    'chance-orders': {
      kind: 'integer',
      value: 'R',
      minimum: 1,
      help: 'random orders per sample, shared by all explainers, whose mean is chance (default: Random alone)',
    },
    steps: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'steps of the curves from no player to all',
      fallback: defaultSteps.length - 1,
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
    const note = (text: string) => io.log(`${text}\n`);
    const shard = parseShard(values.string('shard')!);
    const queue = values.string('queue');
    if (queue !== undefined && shard.count > 1)
      throw new UsageError('--queue hands out all samples; it cannot be used with --shard.');
    const distribute =
      queue === undefined
        ? undefined
        : await asUsage(async () => distributeOver({ url: queue, name: values.string('queue-name')! }));
    const untilToldApart = untilOf(values);
    const chosen = await asUsage(() =>
      chooseBenchmark({ ...choiceOf(values), onNote: note, onExplainerLog: note }),
    );
    const out = values.string('out') ?? defaultFolder();
    const models = await asUsage(() => loadModels(modelsOf(values), loadSettings(values, io)));
    const progress = new ProgressLine(io);
    try {
      if (values.flag('dry-run')) {
        const planSamples = values.number('plan-samples')!;
        const plans = await planBenchmark({ ...chosen, models, shard, planSamples, signal: io.signal });
        io.out(values.flag('json') ? `${JSON.stringify({ plans })}\n` : renderDryRun(plans, io.width));
        return exitCodes.ok;
      }
      // Workers load them; what they are is known.
      if (distribute) for (const model of models) model.dispose();
      const outcome = await runBenchmark({
        ...chosen,
        models,
        out,
        resume: values.flag('resume'),
        retryFailed: values.flag('retry-failed'),
        shard,
        distribute,
        untilToldApart,
        gallerySamples: values.number('gallery')!,
        invocation: { command: bench.name, options: values.lasting(bench) },
        ...replayedBy(values.string('config')),
        signal: io.signal,
        onNote: (text) => {
          progress.end();
          note(text);
        },
        onProgress: ({ done, total, failed, model, dataset, resumedSamples, workers }) =>
          progress.update(
            done,
            total,
            `samples, ${whereOf({ model, dataset, workers })}${failed > 0 ? `, ${failed} rows failed` : ''}`,
            resumedSamples,
          ),
      });
      const { seed } = chosen.settings;
      const { report, summary, page } = await concludeBenchmark(out, outcome, {
        seed,
        signal: io.signal,
        onNote: note,
      });
      if (values.flag('json')) printSummary(io, { out, page, ...summary });
      else
        io.out(
          `\n${report ? `${renderConsole(report, io.width)}\n\n` : ''}${wrapText(closing(out, page, outcome), io.width)}\n`,
        );
      return outcome.failed > 0 ? exitCodes.failures : exitCodes.ok;
    } catch (error) {
      progress.end();
      if (io.signal.aborted && !values.flag('dry-run'))
        io.log(
          `Finished rows and cells are kept: go on with \`fsyn bench --resume --out ${out}\` and the same options.\n`,
        );
      throw error;
    } finally {
      await closeExplainers(chosen.explainers);
      for (const model of models) model.dispose();
    }
  },
};

function whereOf({
  model,
  dataset,
  workers,
}: Pick<BenchmarkProgress, 'model' | 'dataset' | 'workers'>): string {
  if (workers !== undefined) return `${workers} workers`;
  return `${model} on ${dataset}`;
}

/** A configuration that is the run.json of a run is repeated, and compared with. */
function replayedBy(config: string | undefined): { replayed?: RunDescription } {
  if (config === undefined) return {};
  const description = readRunFile(config);
  return description.invocation === undefined ? {} : { replayed: description };
}

/** The models that the options name. */
export function modelsOf(values: OptionValues): readonly string[] {
  const named = values.list('model');
  return named.length > 0 ? named : [...embeddedModels().keys()];
}

/** What `chooseBenchmark` needs of the parsed options. */
export function choiceOf(values: OptionValues): Partial<BenchmarkChoice> {
  return {
    datasets: values.list('dataset'),
    explainers: values.list('explainers'),
    explainerTimeout: values.number('explainer-timeout'),
    full: values.flag('full'),
    limit: values.number('limit'),
    allowOutside: values.flag('allow-outside'),
    shapleySamples: values.number('sii-samples'),
    settings: {
      seed: values.number('seed'),
      steps: evenSteps(values.number('steps')!),
      scoring: values.string('scoring') as BenchmarkSettings['scoring'],
      compat: values.string('compat') as BenchmarkSettings['compat'],
      ...maskingOf(values),
      includeInstruction: values.flag('include-instruction'),
      includeTemplate: values.flag('include-template'),
      shapleyGroups: values.number('sii-groups'),
      shapleyPartitions: values.number('sii-partitions'),
      chanceOrders: values.number('chance-orders'),
      needsBoth: values.flag('needs-both') || undefined,
    },
  };
}

function untilOf(values: OptionValues): UntilToldApart | undefined {
  const given = values.string('until-told-apart');
  const pair = values.string('told-apart')?.split(',');
  if (given === undefined) {
    if (pair !== undefined) throw new UsageError('--told-apart needs --until-told-apart ALPHA.');
    return undefined;
  }
  const alpha = Number(given);
  if (given.trim() === '' || !(alpha > 0 && alpha < 1))
    throw new UsageError(
      `Expected a number between 0 and 1 for --until-told-apart but received ${JSON.stringify(given)}.`,
    );
  if (pair !== undefined && pair.length !== 2)
    throw new UsageError(
      `Expected two explainers, A,B, for --told-apart but received ${JSON.stringify(pair.join(','))}.`,
    );
  const guarantee = values.string('guarantee') as Guarantee;
  return { alpha, guarantee, ...(pair && { pair: [pair[0].trim(), pair[1].trim()] as const }) };
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
  if (outcome.leftOut > 0) {
    const samples = outcome.leftOut === 1 ? 'sample does' : 'samples do';
    parts.push(`${outcome.leftOut} ${samples} not need both image and text and are left out`);
  }
  if (outcome.resumed > 0) parts.push(`${outcome.resumed} rows found from before`);
  if (outcome.foundCells > 0)
    parts.push(`${outcome.foundCells} cells found from before, ${outcome.computedCells} scored now`);
  if (outcome.halvings > 0)
    parts.push(`${outcome.halvings} batches did not fit into memory and were halved (see --memory)`);
  parts.push(`${outcome.failed} rows failed`, `results in ${out}`);
  if (page !== null) parts.push(`page with charts and samples: ${page}`);
  return parts.join('; ');
}
