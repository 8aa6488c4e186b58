import { evaluatePlayers } from '../bridge/evaluate.js';
import { renderConsole } from '../report/console.js';
import { asUsage, type Command, exitCodes, UsageError } from './command.js';
import { loadSettings, runtimeOptions } from './model-options.js';
import { ProgressLine } from './progress.js';
import { printSummary } from './summary-output.js';

export const evaluate: Command = {
  name: 'evaluate',
  summary: 'measure scores that were made elsewhere for written players',
  description:
    'Measures scores of the samples that `fsyn players` wrote out, beside the Random control and, where the samples have\n' +
    'truth, Oracle and Anti-Oracle. Nothing is explained here: the model only answers masked inputs.\n' +
    'A folder of scores holds ID.json ({"image": ..., "text": [...]}), or ID.image.npy and ID.text.npy, for every line.',
  options: {
    players: { kind: 'string', value: 'DIR', help: 'folder that `fsyn players` filled', fallback: 'players' },
    attributions: { kind: 'list', value: 'NAME=DIR', help: 'scores to measure; repeatable (required)' },
    model: { kind: 'string', value: 'DIR', help: 'the model of the players, where it has moved' },
    'sii-samples': {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      help: 'samples with the exact Shapley interaction index',
      fallback: 0,
    },
    out: { kind: 'string', value: 'DIR', help: 'results folder', fallback: 'results/evaluation' },
    resume: { kind: 'flag', help: 'go on with the results in --out' },
    json: { kind: 'flag', help: 'print the summary as JSON' },
    ...runtimeOptions,
  },
  async run(values, io) {
    const attributions = values.list('attributions');
    if (attributions.length === 0) throw new UsageError('--attributions is required: NAME=DIR.');
    const progress = new ProgressLine(io);
    const out = values.string('out')!;
    try {
      const { outcome, report, summary, page } = await asUsage(() =>
        evaluatePlayers({
          players: values.string('players'),
          attributions,
          out,
          resume: values.flag('resume'),
          model: values.string('model'),
          shapleySamples: values.number('sii-samples'),
          load: loadSettings(values, io),
          signal: io.signal,
          onNote: (text) => io.log(`${text}\n`),
          onProgress: ({ done, total }) => progress.update(done, total, 'samples'),
        }),
      );
      progress.end();
      if (values.flag('json')) printSummary(io, { out, page, ...summary });
      else
        io.out(
          `\n${report ? `${renderConsole(report, io.width)}\n\n` : ''}Page with charts and samples: ${page}\n`,
        );
      return outcome.failed > 0 ? exitCodes.failures : exitCodes.ok;
    } finally {
      progress.end();
    }
  },
};
