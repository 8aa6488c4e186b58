import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FsynError } from '../errors.js';
import { closeExplainers, resolveExplainers } from '../explainers/module.js';
import { explainers } from '../explainers/registry.js';
import type { Explainer } from '../explainers/types.js';
import { evaluate, explain as runExplainer } from '../measure/evaluate.js';
import { defaultSteps, evenSteps } from '../metrics/steps.js';
import { colouredWords, type Explanation, explanationPage } from '../report/explanation.js';
import { blankness, largestMagnitude, overlayPng } from '../report/heatmap.js';
import { embeddedModels, loadModels } from '../runner/models.js';
import { deriveSeed } from '../statistics/random.js';
import { decimal, textTable } from '../text-table.js';
import { decodeImage } from '../vlm/images/decode.js';
import type { PreparedSample, PrepareOptions } from '../vlm/types.js';
import {
  asUsage,
  type Command,
  type CommandIo,
  exitCodes,
  type OptionValues,
  UsageError,
} from './command.js';
import {
  explainerTimeout,
  loadSettings,
  maskingOf,
  maskingOptions,
  runtimeOptions,
} from './model-options.js';
import { ProgressLine } from './progress.js';

const usable = explainers.filter((explainer) => !explainer.needsTruth);

export const explain: Command = {
  name: 'explain',
  summary: 'draw what explainers say about one image and question',
  description:
    'Answers the question, runs the explainers and writes one overlay PNG each, explanation.html (all side by side) and\n' +
    'explanation.json; prints the words coloured and every explainer’s F_syn on this sample.',
  options: {
    model: {
      kind: 'string',
      value: 'DIR',
      known: [...embeddedModels().keys()],
      help: 'embedded model or model directory',
      fallback: 'llava-tiny',
    },
    image: { kind: 'string', value: 'FILE', help: 'image to ask about (required)' },
    question: { kind: 'string', value: 'TEXT', help: 'what to ask (required)' },
    instruction: { kind: 'string', value: 'TEXT', help: 'answer format appended to the question' },
    choices: { kind: 'list', value: 'LETTERS', help: 'choice letters of a multiple-choice question' },
    explainers: {
      kind: 'list',
      value: 'NAMES',
      known: ['all', ...usable.map(({ name }) => name)],
      help: `comma-separated: ${usable.map((e) => e.name).join(', ')}; or a file of your own, ./my-explainer.mjs; or "exec:COMMAND"`,
      fallback: ['all'],
    },
    'explainer-timeout': explainerTimeout,
    seed: { kind: 'integer', value: 'S', minimum: 0, help: 'seed of random explainers', fallback: 0 },
    answer: {
      kind: 'string',
      value: 'TEXT',
      help: 'explain this answer (default: the one that the model gives)',
    },
    steps: {
      kind: 'integer',
      value: 'N',
      minimum: 1,
      help: 'steps of the curves from no player to all',
      fallback: defaultSteps.length - 1,
    },
    out: { kind: 'string', value: 'DIR', help: 'folder for the pictures', fallback: 'explanation' },
    json: { kind: 'flag', help: 'print explanation.json instead of the summary' },
    ...maskingOptions,
    ...runtimeOptions,
  },
  async run(values, io) {
    const path = values.required('image');
    const question = values.required('question');
    if (!existsSync(path)) throw new UsageError(`There is no file ${JSON.stringify(path)} (--image).`);
    const image = await decodeImage(path);
    const selected = await asUsage(() =>
      resolveExplainers(values.list('explainers'), usable, {
        timeout: values.number('explainer-timeout'),
        onLog: (line) => io.log(`${line}\n`),
        signal: io.signal,
      }),
    );
    const progress = new ProgressLine(io);
    progress.say('loading the model');
    const [model] = await asUsage(() => loadModels([values.string('model')!], loadSettings(values, io)));
    try {
      progress.say('answering the question');
      const sample = await model.prepare(image, question, prepareOptions(values, io.signal));
      const { able, explanations } = await explainAll(sample, selected, values, progress, io);
      const out = values.string('out')!;
      const description = await writeFiles(out, sample, able, explanations);
      if (values.flag('json')) io.out(`${JSON.stringify(description)}\n`);
      else io.out(summary(sample, explanations, out, io.width));
      return exitCodes.ok;
    } finally {
      progress.clear();
      await closeExplainers(selected);
      model.dispose();
    }
  },
};

/**
 * Runs one explainer after the other and says how far it is, in a log every ten seconds: a real model takes
 * minutes.
 */
async function explainAll(
  sample: PreparedSample,
  selected: readonly Explainer[],
  values: OptionValues,
  progress: ProgressLine,
  io: CommandIo,
): Promise<{ able: Explainer[]; explanations: Explanation[] }> {
  const explanations: Explanation[] = [];
  const able: Explainer[] = [];
  const left: FsynError[] = [];
  for (const [done, explainer] of selected.entries()) {
    let at = explainer.title;
    const tell = () => progress.update(done, selected.length, `explainers, ${at}`);
    const clock = setInterval(tell, io.interactive ? 1000 : 10_000);
    if (io.interactive) tell();
    try {
      const options = { seed: values.number('seed')!, steps: values.number('steps')!, signal: io.signal };
      const explanation = await explainOne(sample, explainer, options, (cells, total) => {
        at = `${explainer.title}: ${cells} of ${total} cells`;
        if (io.interactive) tell();
      });
      explanations.push(explanation);
      able.push(explainer);
    } catch (error) {
      // Who asks for all methods wants those that this model allows; who names one wants to know why not.
      const unable = error instanceof FsynError && !io.signal.aborted;
      if (!unable || !values.list('explainers').includes('all')) throw error;
      left.push(error);
      progress.clear();
      io.log(`Left out, ${explainer.title}: ${error.message}\n`);
    } finally {
      clearInterval(clock);
    }
  }
  if (able.length === 0) throw left[0];
  return { able, explanations };
}

function prepareOptions(values: OptionValues, signal: AbortSignal): PrepareOptions {
  const choices = values.list('choices');
  return {
    ...maskingOf(values),
    instruction: values.string('instruction'),
    choices: choices.length > 0 ? choices : undefined,
    answer: values.string('answer'),
    signal,
  };
}

async function explainOne(
  sample: PreparedSample,
  explainer: Explainer,
  { seed, steps, signal }: { readonly seed: number; readonly steps: number; readonly signal: AbortSignal },
  onProgress: (done: number, total: number) => void,
): Promise<Explanation> {
  const attribution = await runExplainer(sample, explainer, {
    seed: deriveSeed(seed, explainer.name),
    signal,
  });
  const [{ synergy, bounds }] = await evaluate(sample, [attribution], {
    steps: evenSteps(steps),
    signal,
    onProgress,
  });
  return {
    title: explainer.title,
    attribution,
    synergy: synergy.raw.mean,
    ...(bounds === null ? {} : { bounds }),
  };
}

async function writeFiles(
  out: string,
  sample: PreparedSample,
  selected: readonly Explainer[],
  explanations: readonly Explanation[],
): Promise<object> {
  await mkdir(out, { recursive: true });
  for (const [i, { attribution }] of explanations.entries()) {
    await writeFile(
      join(out, `${selected[i].name}.png`),
      await overlayPng(sample.image, sample.imagePlayers, attribution.image),
    );
  }
  await writeFile(join(out, 'explanation.html'), await explanationPage(sample, explanations));
  const description = {
    question: sample.question,
    answer: sample.answer.text,
    decisionToken: sample.answer.decisionToken,
    decision: sample.answer.decision,
    textPlayers: sample.textPlayers.labels,
    imagePlayers: {
      rows: sample.imagePlayers.rows,
      columns: sample.imagePlayers.columns,
      tiles: sample.imagePlayers.tiles,
    },
    explanations: explanations.map(({ attribution, synergy, bounds }, i) => ({
      explainer: selected[i].name,
      synergy,
      bounds,
      image: Array.from(attribution.image),
      text: Array.from(attribution.text),
      ...wordRegionsJson(attribution.wordRegions),
    })),
  };
  await writeFile(join(out, 'explanation.json'), `${JSON.stringify(description, null, 2)}\n`);
  return description;
}

function wordRegionsJson(map: Explanation['attribution']['wordRegions']): object {
  if (map === undefined) return {};
  const { regions, values, standardErrors } = map;
  const wordRegions = {
    regions: Array.from(regions),
    values: Array.from(values),
    standardErrors: Array.from(standardErrors),
  };
  return { wordRegions };
}

function summary(
  sample: PreparedSample,
  explanations: readonly Explanation[],
  out: string,
  width: number | undefined,
): string {
  const { answer, textPlayers } = sample;
  const table = textTable<Explanation>(
    [
      { title: 'explainer', align: 'left', value: (row) => row.title },
      { title: 'F_syn raw', value: (row) => decimal(row.synergy) },
      {
        title: 'words (1: the strongest)',
        align: 'left',
        value: (row) => wordsFor(textPlayers.labels, row.attribution.text),
      },
    ],
    explanations,
    width,
  );
  const blank = explanations.flatMap(({ title, attribution }) => {
    const said = [blankness(attribution.image, 'image'), blankness(attribution.text, 'text')].filter(
      (text) => text !== '',
    );
    return said.length === 0
      ? []
      : [`${title}: ${said.join(', ')}; where scores are equal the order of the players decides F_syn.\n`];
  });
  const open = explanations.flatMap(({ title, bounds }) =>
    bounds === undefined
      ? []
      : [
          `${title}: F_syn is between ${decimal(bounds.mean.low)} and ${decimal(bounds.mean.high)}, ${bounds.bounded} of ${bounds.cells} cells ` +
            `known within bounds; error of the server's noise ${bounds.standardError.toPrecision(2)}.\n`,
        ],
  );
  const decision =
    answer.decisionKind === 'similarity'
      ? ''
      : ` (decides: ${JSON.stringify(answer.decision)}, ${answer.decisionKind}; scored token ${JSON.stringify(answer.decisionToken)})`;
  return `${sample.question}\n-> ${answer.text}${decision}\n\n${table}\n${blank.join('')}${open.join('')}\nPictures in ${out}: open ${join(out, 'explanation.html')}\n`;
}

function wordsFor(labels: readonly string[], scores: Float64Array): string {
  if (process.stdout.isTTY && process.env.NO_COLOR === undefined) return colouredWords(labels, scores);
  const largest = largestMagnitude(scores) || 1;
  return labels.map((label, i) => `${label.trim()}:${decimal(scores[i] / largest, 2)}`).join(' ');
}
