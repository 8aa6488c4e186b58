import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { Dataset, Sample } from '../datasets/types.js';
import { invalidArgument } from '../errors.js';
import { npyFloat32 } from '../explainers/npy.js';
import { fileNameOf, type PlayersRecord, playersRecord } from '../explainers/outside/record.js';
import { resolveOptions } from '../options.js';
import { prepareSample } from '../runner/sample-run.js';
import { type BenchmarkSettings, defaultSettings } from '../runner/settings.js';
import { encodePng } from '../vlm/images/encode.js';
import type { PreparedSample, Vlm } from '../vlm/types.js';

/** The file of records in a folder of players; it is a JSON Lines dataset, too. */
export const playersFile = 'players.jsonl';
/** What the players were made with. */
export const playersRunFile = 'players.json';

export interface WritePlayersOptions {
  readonly model: Vlm;
  /** What `--model` was, so that the players can be measured again. */
  readonly modelSource: string;
  readonly datasets: readonly Dataset[];
  /** Folder for players.jsonl, players.json and the pictures. */
  readonly out: string;
  readonly settings: BenchmarkSettings;
  /** Write the normalised pixel input of every sample as .npy, float32. */
  readonly pixels: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number) => void;
}

/**
 * One line of players.jsonl: the record of the players, and the sample's own fields, so that the file is a
 * dataset. Paths are relative to the folder.
 */
export interface PlayersLine extends PlayersRecord {
  readonly id: string;
  readonly image: string;
  readonly answer: string;
}

/**
 * Writes all that someone needs to explain samples elsewhere: one line each in players.jsonl, the picture,
 * and the picture as the model sees it.
 *
 * @returns the number of samples written
 * @throws FsynError of the first sample that cannot be prepared; the signal's reason
 */
export async function writePlayers(given: Partial<WritePlayersOptions>): Promise<number> {
  const options = resolveOptions<Partial<WritePlayersOptions>>('writePlayers', defaults, given);
  const { model, datasets, out, settings, signal, onProgress } = options as WritePlayersOptions;
  const masking = commonMasking(datasets, settings);
  await mkdir(join(out, 'images'), { recursive: true });
  const total = datasets.reduce((sum, { size }) => sum + size, 0);
  const lines = createWriteStream(join(out, playersFile));
  let done = 0;
  try {
    for (const dataset of datasets) {
      for await (const sample of dataset.samples()) {
        const prepared = await prepareSample({ model, dataset, sample, settings }, signal);
        const line = await writeSample(options as WritePlayersOptions, dataset, sample, prepared);
        if (!lines.write(`${JSON.stringify(line)}\n`))
          await new Promise<void>((resolve) => lines.once('drain', () => resolve()));
        onProgress(++done, total);
      }
    }
  } finally {
    lines.end();
    await finished(lines);
  }
  const description = {
    model: { source: options.modelSource, name: model.name, fingerprint: model.fingerprint },
    datasets: datasets.map(({ name, version, size }) => ({ name, version, size })),
    settings: { ...settings, ...masking },
  };
  await writeFile(join(out, playersRunFile), `${JSON.stringify(description, null, 2)}\n`);
  return done;
}

/**
 * How absent image players look in all datasets: what the settings leave open, the datasets must agree on.
 */
function commonMasking(datasets: readonly Dataset[], settings: BenchmarkSettings) {
  const masks = datasets.map(({ masking }) => ({
    baseline: settings.baseline ?? masking?.baseline,
    blurRadius: settings.blurRadius ?? masking?.blurRadius,
    blurUnit: settings.blurUnit ?? masking?.blurUnit,
  }));
  const shown = masks.map((mask) => JSON.stringify(mask));
  if (new Set(shown).size > 1) {
    throw invalidArgument(
      'datasets',
      'datasets that mask alike, or a masking in the settings',
      shown.join(' and '),
    );
  }
  return masks[0];
}

const defaults: Partial<WritePlayersOptions> = {
  model: undefined,
  modelSource: '',
  datasets: [],
  out: 'players',
  settings: defaultSettings,
  pixels: false,
  signal: undefined,
  onProgress: () => {},
};

async function writeSample(
  { model, out, pixels, datasets }: WritePlayersOptions,
  dataset: Dataset,
  sample: Sample,
  prepared: PreparedSample,
): Promise<PlayersLine> {
  const folder = datasets.length > 1 ? join('images', fileNameOf(dataset.name)) : 'images';
  await mkdir(join(out, folder), { recursive: true });
  const base = join(folder, fileNameOf(sample.id));
  const picture = `${base}.png`;
  await writeFile(join(out, picture), await encodePng(prepared.image));
  const views: string[] = [];
  for (const [i, view] of (prepared.views ?? []).entries()) {
    views.push(`${base}.view-${i}.png`);
    await writeFile(join(out, views[i]), await encodePng(view));
  }
  const files = { picture, views, ...(await writePixels(out, base, prepared, pixels)) };
  const { image: _, ...fields } = sample;
  const { instructions, ...kept } = fields;
  const instruction = instructions?.[model.architecture] ?? sample.instruction;
  return {
    ...kept,
    ...(instruction === undefined ? {} : { instruction }),
    ...playersRecord(prepared, { dataset: dataset.name, sample: sample.id }, files),
    // Ids are unique within a dataset only.
    id: datasets.length > 1 ? `${dataset.name}/${sample.id}` : sample.id,
    image: picture,
  };
}

async function writePixels(
  out: string,
  base: string,
  { whiteBox }: PreparedSample,
  wanted: boolean,
): Promise<{ pixels?: string }> {
  const input = wanted ? whiteBox?.visionFeeds[whiteBox.pixelInput] : undefined;
  if (input === undefined) return {};
  const pixels = `${base}.pixels.npy`;
  await writeFile(join(out, pixels), npyFloat32(input.data as Float32Array, input.shape));
  return { pixels };
}
