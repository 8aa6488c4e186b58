import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname } from 'node:path';
import { openDatasets } from '../datasets/open.js';
import { resolveExplainers } from '../explainers/module.js';
import { runtime } from '../inference/runtime.js';
import { packageInfo } from '../package.js';
import { speedupPicture } from '../report/speedup.js';
import { embeddedModels, loadModels } from '../runner/models.js';
import type { Arm } from '../speedup/arms.js';
import { measureSpeedup, type SpeedupReport } from '../speedup/speedup.js';
import { type Column, decimal, textTable, wrapText } from '../text-table.js';
import { asUsage, type Command, exitCodes } from './command.js';
import { loadSettings, runtimeOptions } from './model-options.js';
import { ProgressLine } from './progress.js';

export const speedup: Command = {
  name: 'speedup',
  summary: 'measure the claim that F_syn is 24x cheaper than the exact index',
  description:
    'Runs F_syn and the exact Shapley interaction index as published (every cell a full pass, published batch sizes) and\n' +
    'planned (repeats dropped, images encoded once, prefixes shared) on the same attributions in one run, on one thread,\n' +
    'and shows what part of the ratio is counting, what part is batching, and what remains.',
  options: {
    model: {
      kind: 'string',
      value: 'DIR',
      known: [...embeddedModels().keys()],
      help: 'embedded model or model directory',
      fallback: 'llava-tiny',
    },
    dataset: { kind: 'string', value: 'NAME', help: 'embedded dataset or JSONL file', fallback: 'presence' },
    explainers: {
      kind: 'list',
      value: 'NAMES',
      help: 'explainers whose attributions are measured, by name or file (./my-explainer.mjs)',
      fallback: ['oracle', 'anti-oracle', 'random', 'occlusion'],
    },
    limit: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'samples, each with every explainer, in the correlations',
      fallback: 10,
    },
    timed: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'attributions whose arms are timed',
      fallback: 3,
    },
    seed: {
      kind: 'integer',
      value: 'S',
      minimum: 0,
      help: 'seed of samples, controls and partitions',
      fallback: 0,
    },
    picture: { kind: 'string', value: 'FILE', help: 'write the picture as SVG' },
    json: { kind: 'flag', help: 'print the measurements as JSON' },
    ...runtimeOptions,
  },
  async run(values, io) {
    const [dataset] = await asUsage(() =>
      openDatasets([values.string('dataset')!], {
        size: values.number('limit')!,
        limit: values.number('limit')!,
        seed: values.number('seed')!,
      }),
    );
    const selected = await asUsage(() => resolveExplainers(values.list('explainers')));
    const [model] = await asUsage(() => loadModels([values.string('model')!], loadSettings(values, io)));
    const progress = new ProgressLine(io);
    try {
      const report = await measureSpeedup({
        model,
        dataset,
        explainers: selected,
        timed: values.number('timed')!,
        seed: values.number('seed')!,
        memory: values.number('memory'),
        signal: io.signal,
        onProgress: (done, total) => progress.update(done, total, 'attributions'),
      });
      const picture = values.string('picture');
      if (picture !== undefined) {
        mkdirSync(dirname(picture), { recursive: true });
        writeFileSync(picture, await speedupPicture(report));
      }
      const machine = machineFacts();
      io.out(
        values.flag('json')
          ? `${JSON.stringify({ ...report, machine })}\n`
          : render(report, machine, picture, io.width),
      );
      return exitCodes.ok;
    } catch (error) {
      progress.end();
      throw error;
    } finally {
      model.dispose();
    }
  },
};

function machineFacts() {
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  return { processor, node: process.version, onnxruntime: runtime().version, fsyn: packageInfo().version };
}

function render(
  report: SpeedupReport,
  machine: ReturnType<typeof machineFacts>,
  picture: string | undefined,
  width: number | undefined,
): string {
  const arm = (name: Arm['name']) => report.arms.find((candidate) => candidate.name === name)!;
  const published = { sii: arm('SII as published'), synergy: arm('F_syn as published') };
  const planned = {
    sii: arm('SII planned'),
    synergy: arm('F_syn planned'),
    quantile: arm('quantile SII planned'),
  };
  const columns: Column<Arm>[] = [
    { title: 'arm', align: 'left', value: (row) => row.name },
    { title: 'cells', value: (row) => String(row.cells) },
    { title: 'images', value: (row) => String(row.imageStates) },
    { title: 'GFLOP', value: (row) => decimal(row.flops / 1e9, 2) },
    { title: 'seconds', value: (row) => decimal(row.seconds, 3) },
  ];
  const times = (a: Arm, b: Arm, key: 'cells' | 'flops' | 'seconds') => `${(a[key] / b[key]).toFixed(1)}x`;
  const lines = [
    `${report.model} on ${report.dataset}: medians of ${report.timed} timed attributions, one thread`,
    `${machine.processor}, Node ${machine.node}, ONNX Runtime ${machine.onnxruntime}, fsyn ${machine.fsyn}`,
    '',
    textTable(columns, report.arms, width),
    '',
    'SII over F_syn',
    `  passes as published (counting alone)    ${times(published.sii, published.synergy, 'cells')}`,
    `  seconds as published                    ${times(published.sii, published.synergy, 'seconds')}   (SII in batches of 16, F_syn one by one)`,
    `  cells, repeats dropped                  ${times(planned.sii, planned.synergy, 'cells')}`,
    `  seconds, both planned                   ${times(planned.sii, planned.synergy, 'seconds')}`,
    `  quantile SII over F_syn, both planned   ${times(planned.quantile, planned.synergy, 'seconds')}   (25 cross pairs from one table)`,
    'planning over publishing',
    `  F_syn                                   ${times(published.synergy, planned.synergy, 'seconds')}`,
    `  SII                                     ${times(published.sii, planned.sii, 'seconds')}`,
    '',
    `Spearman correlation with SII over ${report.correlated} attributions of ${report.samples} samples${report.leftOut > 0 ? `; ${report.leftOut} that one modality answers are left out` : ''}`,
    textTable(
      [
        { title: 'variant', align: 'left', value: (row) => row.variant },
        { title: 'rho', value: (row) => decimal(row.spearman, 2) },
        { title: 'without s = 1', value: (row) => decimal(row.withoutEndpoint, 2) },
      ],
      report.agreement,
      width,
    ),
  ];
  if (picture !== undefined) lines.push('', `Picture in ${picture}`);
  return `${wrapText(lines.join('\n'), width)}\n`;
}
