import { writePlayers } from '../bridge/players.js';
import { embeddedFamilies, openDatasets } from '../datasets/open.js';
import { firstLook } from '../runner/choose.js';
import { loadModels } from '../runner/models.js';
import { type BenchmarkSettings, defaultSettings } from '../runner/settings.js';
import { asUsage, type Command, exitCodes } from './command.js';
import { loadSettings, maskingOf, maskingOptions, runtimeOptions } from './model-options.js';
import { ProgressLine } from './progress.js';

export const players: Command = {
  name: 'players',
  summary: 'write out what explainers elsewhere need to score samples',
  description:
    'Writes one JSON line for each sample into DIR/players.jsonl: the picture as the model sees it, prompt, token ids, decision\n' +
    'token, image and text players in their order, and a hash that ties scores to them. Explain the samples wherever you like,\n' +
    'one file of scores each, and measure the scores with `fsyn evaluate`.',
  options: {
    model: {
      kind: 'string',
      value: 'DIR',
      help: 'embedded model or model directory',
      fallback: 'llava-tiny',
    },
    dataset: {
      kind: 'list',
      value: 'NAME',
      help: 'embedded dataset, JSONL file, or repope:DIR, cv-bench:DIR, mmstar:DIR, mmvp:DIR; repeatable',
      fallback: [...embeddedFamilies.keys()].slice(0, 1),
    },
    'allow-outside': { kind: 'flag', help: 'read pictures that a data file names outside its folder' },
    limit: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: `samples per dataset (default: ${firstLook.size} of an embedded one, ${firstLook.limit} of another)`,
    },
    out: {
      kind: 'string',
      value: 'DIR',
      help: 'folder for players.jsonl and the pictures',
      fallback: 'players',
    },
    pixels: { kind: 'flag', help: 'also write the normalised pixel input of every sample as .npy' },
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of the samples', fallback: 0 },
    'include-instruction': { kind: 'flag', help: 'tokens of the answer-format instruction are players too' },
    'include-template': {
      kind: 'flag',
      help: 'tokens of the chat template inside the user turn are players too',
    },
    ...maskingOptions,
    ...runtimeOptions,
  },
  async run(values, io) {
    const modelSource = values.string('model')!;
    const limit = values.number('limit');
    const seed = values.number('seed')!;
    const datasets = await asUsage(() =>
      openDatasets(values.list('dataset'), {
        size: limit ?? firstLook.size,
        limit: limit ?? firstLook.limit,
        seed,
        allowOutside: values.flag('allow-outside'),
      }),
    );
    const [model] = await asUsage(() => loadModels([modelSource], loadSettings(values, io)));
    const progress = new ProgressLine(io);
    try {
      const settings: BenchmarkSettings = {
        ...defaultSettings,
        ...maskingOf(values),
        seed,
        includeInstruction: values.flag('include-instruction'),
        includeTemplate: values.flag('include-template'),
      };
      const out = values.string('out')!;
      const written = await writePlayers({
        model,
        modelSource,
        datasets,
        out,
        settings,
        pixels: values.flag('pixels'),
        signal: io.signal,
        onProgress: (done, total) => progress.update(done, total, 'samples'),
      });
      progress.end();
      io.out(
        `${written} samples in ${out}/players.jsonl.\n` +
          `Write scores to FOLDER/ID.json for every line, {"image": [...], "text": [...], "hash": its hash}, then:\n` +
          `  fsyn evaluate --players ${out} --attributions my-method=FOLDER\n`,
      );
      return exitCodes.ok;
    } finally {
      progress.end();
      model.dispose();
    }
  },
};
