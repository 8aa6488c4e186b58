import { explainers } from '../explainers/registry.js';
import type { OpenedRun } from '../queue/measured-run.js';
import type { Ticket } from '../queue/protocol.js';
import { runWorker } from '../queue/worker.js';
import { chooseBenchmark } from '../runner/choose.js';
import { loadModels } from '../runner/models.js';
import { bench, choiceOf, modelsOf } from './bench.js';
import {
  asUsage,
  type Command,
  type CommandIo,
  exitCodes,
  type OptionValue,
  OptionValues,
  UsageError,
} from './command.js';
import { readOptions } from './config.js';
import { explainerTimeout, loadSettings, runtimeOptions } from './model-options.js';
import { addressOf, queueAddress, queueName } from './queue-options.js';

/** What a machine says itself; all else comes from the run. */
const ownOptions = ['threads', 'memory', 'provider'] as const;

export const worker: Command = {
  name: 'worker',
  summary: 'measure samples for the runs of a queue',
  description:
    'Takes samples that `fsyn bench --queue` hands out, measures them and sends the rows back. Models, data and explainers\n' +
    'are opened by the names that the run was started with, and compared with it by content: a worker whose models,\n' +
    'data or code are not the same takes no sample and ends with an error. SIGTERM and SIGINT finish the sample in work.',
  options: {
    queue: queueAddress,
    'queue-name': queueName,
    model: {
      kind: 'list',
      value: 'NAME=DIR',
      help: 'where a model of the run is on this machine; required for served ones (default: where the run says); repeatable',
    },
    dataset: {
      kind: 'list',
      value: 'NAME=PATH',
      help: 'where a dataset of the run is on this machine (default: where the run says); repeatable',
    },
    explainers: {
      kind: 'list',
      value: 'NAMES',
      help: 'explainers that are no part of fsyn and that this machine may run, written as in the run: files, import:, exec:',
    },
    'explainer-timeout': explainerTimeout,
    rate: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'most samples a minute that all workers together begin (default: no limit)',
    },
    lock: {
      kind: 'integer',
      value: 'SECONDS',
      minimum: 1,
      help: 'a worker that was not heard of for so long is dead, and its sample goes to another; the same for all workers',
      fallback: 30,
    },
    idle: {
      kind: 'number',
      value: 'SECONDS',
      minimum: 0,
      help: 'end after so long without a sample (default: wait for the next run)',
    },
    ...Object.fromEntries(ownOptions.map((name) => [name, runtimeOptions[name]])),
  },
  async run(values, io) {
    const url = addressOf(values);
    const places = { model: placesOf(values, 'model'), dataset: placesOf(values, 'dataset') };
    const { samples } = await asUsage(() =>
      runWorker({
        url,
        name: values.string('queue-name')!,
        lock: values.number('lock')!,
        rate: values.number('rate'),
        idle: values.number('idle'),
        open: (ticket) => openRun(ticket, values, places, io),
        onNote: (text) => io.log(`${text}\n`),
        onSample: (done, model, dataset) => io.log(`${done} samples measured, ${model} on ${dataset}\n`),
        signal: io.signal,
      }),
    );
    io.out(`${samples} samples measured\n`);
    return exitCodes.ok;
  },
};

type Places = Readonly<Record<'model' | 'dataset', ReadonlyMap<string, string>>>;

function placesOf(values: OptionValues, kind: 'model' | 'dataset'): Map<string, string> {
  return new Map(
    values.list(kind).map((text) => {
      const [, name, place] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
      if (name === undefined)
        throw new UsageError(`Expected NAME=PATH for --${kind} but received ${JSON.stringify(text)}.`);
      return [name, place];
    }),
  );
}

/** Opens what a run was started with, as it is on this machine. */
async function openRun(ticket: Ticket, own: OptionValues, places: Places, io: CommandIo): Promise<OpenedRun> {
  const given = optionsOf(ticket);
  const at = (kind: 'model' | 'dataset', names: readonly string[]) =>
    names.map((name, i) => {
      const called = ticket.description[`${kind}s`]?.[i]?.name;
      const place = called === undefined ? undefined : places[kind].get(called);
      return place === undefined ? name : `${called}=${place}`;
    });
  const models = at('model', modelsOf(new OptionValues(given)));
  refuseStrangers(ticket, given, models, own);
  for (const name of ownOptions) given.set(name, own.lasting(worker)[name]);
  given.set('explainer-timeout', own.number('explainer-timeout'));
  given.set('dataset', at('dataset', new OptionValues(given).list('dataset')));
  const values = new OptionValues(given);
  const note = (text: string) => io.log(`${text}\n`);
  const chosen = await chooseBenchmark({ ...choiceOf(values), onNote: note, onExplainerLog: note });
  return { ...chosen, models: await loadModels(models, loadSettings(values, io)) };
}

/** The options of the command that started the run. @throws UsageError */
function optionsOf(ticket: Ticket): Map<string, OptionValue> {
  const { command, options } = ticket.description.invocation ?? {};
  if (command !== bench.name || typeof options !== 'object' || options === null)
    throw new UsageError(
      `The run ${ticket.id} was not started by \`fsyn bench\`, so it does not say what to open.`,
    );
  const read = readOptions(bench, options as Record<string, unknown>, `The run ${ticket.id}`);
  return new Map(
    Object.entries(bench.options).map(([name, { fallback }]) => [name, read.get(name) ?? fallback]),
  );
}

/**
 * Whoever may write to a queue may not therefore run programs here or have servers asked: both must be named
 * on the worker's own command line.
 */
function refuseStrangers(
  { id }: Ticket,
  given: ReadonlyMap<string, OptionValue>,
  models: readonly string[],
  own: OptionValues,
): void {
  const known = new Set(['all', ...explainers.map(({ name }) => name), ...own.list('explainers')]);
  const strange = (given.get('explainers') as readonly string[]).find((name) => !known.has(name));
  if (strange !== undefined)
    throw new UsageError(
      `The run ${id} asks for the explainer ${JSON.stringify(strange)}, which is no part of fsyn. ` +
        'Allow it with --explainers, written alike.',
    );
  const named = own.list('model');
  const served = models.find((model) => /(^|=)served:/.test(model) && !named.includes(model));
  if (served !== undefined)
    throw new UsageError(
      `The run ${id} asks for the served model ${JSON.stringify(served)}. Allow it with --model NAME=${served.replace(/^[\w.-]+=/, '')}.`,
    );
}
