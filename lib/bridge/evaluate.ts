import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openJsonl } from '../datasets/jsonl.js';
import type { Dataset } from '../datasets/types.js';
import { FsynError } from '../errors.js';
import { importFolder } from '../explainers/outside/folder.js';
import { findExplainers } from '../explainers/registry.js';
import { resolveOptions } from '../options.js';
import { type BenchmarkConclusion, concludeBenchmark } from '../runner/conclude.js';
import { type LoadModelsOptions, loadModels } from '../runner/models.js';
import { runBenchmark } from '../runner/run.js';
import type { BenchmarkOptions, BenchmarkOutcome } from '../runner/run-options.js';
import { type BenchmarkSettings, defaultSettings } from '../runner/settings.js';
import { playersFile, playersRunFile } from './players.js';

export interface EvaluatePlayersOptions {
  /** The folder that `writePlayers` filled, or its players.jsonl. */
  readonly players: string;
  /** `NAME=FOLDER` for every set of scores. */
  readonly attributions: readonly string[];
  /** Folder for rows and page, as `runBenchmark` takes it. */
  readonly out: string;
  readonly resume: boolean;
  /** Instead of the model that the players were made with: the same model at another place. */
  readonly model: string | undefined;
  /** Samples with the exact Shapley interaction index. */
  readonly shapleySamples: number;
  readonly load: Partial<LoadModelsOptions>;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: BenchmarkOptions['onProgress'];
  readonly onNote: (text: string) => void;
}

export interface EvaluatedPlayers extends BenchmarkConclusion {
  readonly outcome: BenchmarkOutcome;
}

interface PlayersRun {
  readonly model: { readonly source: string; readonly fingerprint: string };
  readonly settings: Partial<BenchmarkSettings>;
}

/**
 * Measures scores that were made elsewhere for players that `writePlayers` wrote, beside Random and, where
 * the samples have truth, Oracle and Anti-Oracle. Nothing is explained here: the model is run on masked
 * inputs only.
 *
 * @throws FsynError ATTRIBUTION for missing scores, all named before any work; MODEL_CONTRACT for another
 *   model than that of the players. Scores of a wrong shape, or made for other players, are failed rows
 */
export async function evaluatePlayers(given: Partial<EvaluatePlayersOptions>): Promise<EvaluatedPlayers> {
  const options = resolveOptions('evaluatePlayers', defaults, given);
  const folder = options.players.endsWith('.jsonl') ? dirname(options.players) : options.players;
  const run = await readRun(join(folder, playersRunFile));
  const { dataset, hashes } = await openPlayers(join(folder, playersFile));
  const hashOf = ({ sample }: { sample: string }) => hashes.get(sample);
  const imported = await Promise.all(
    options.attributions.map((name) => importFolder(`import:${name}`, { hashOf })),
  );
  const controls = findExplainers(dataset.truthless ? ['random'] : ['oracle', 'anti-oracle', 'random']);
  const [model] = await loadModels([options.model ?? run.model.source], {
    ...options.load,
    signal: options.signal,
  });
  try {
    if (model.fingerprint !== run.model.fingerprint) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `${folder} was made with another model: its fingerprint is ${run.model.fingerprint.slice(0, 12)}, this one's ${model.fingerprint.slice(0, 12)}.`,
      );
    }
    const outcome = await runBenchmark({
      models: [model],
      datasets: [dataset],
      explainers: [...controls, ...imported],
      out: options.out,
      resume: options.resume,
      settings: { ...defaultSettings, shapleyGroups: 3, shapleyPartitions: 1, ...run.settings },
      shapleySamples: options.shapleySamples,
      signal: options.signal,
      onProgress: options.onProgress,
      onNote: options.onNote,
    });
    const { signal, onNote } = options;
    return { outcome, ...(await concludeBenchmark(options.out, outcome, { signal, onNote })) };
  } finally {
    model.dispose();
  }
}

const defaults: EvaluatePlayersOptions = {
  players: 'players',
  attributions: [],
  out: 'results/evaluation',
  resume: false,
  model: undefined,
  shapleySamples: 0,
  load: {},
  signal: undefined,
  onProgress: () => {},
  onNote: () => {},
};

async function readRun(path: string): Promise<PlayersRun> {
  try {
    const run = JSON.parse(await readFile(path, 'utf8')) as Partial<PlayersRun>;
    if (typeof run.model?.source === 'string' && typeof run.model.fingerprint === 'string') {
      return { model: run.model, settings: run.settings ?? {} };
    }
  } catch (cause) {
    throw new FsynError('DATASET', `Cannot read ${path}: \`fsyn players\` writes it.`, { cause });
  }
  throw new FsynError('DATASET', `${path} does not name the model: \`fsyn players\` writes it.`);
}

/** The records as a dataset, and their hashes by id. Their order is that of the file. */
async function openPlayers(path: string): Promise<{ dataset: Dataset; hashes: Map<string, string> }> {
  const dataset = await openJsonl(path);
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '');
  const records = lines.map((line) => JSON.parse(line) as { id: string; hash: string });
  return { dataset, hashes: new Map(records.map(({ id, hash }) => [id, hash])) };
}
