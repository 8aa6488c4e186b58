import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cornerValues, requestCorners } from '../cells/corners.js';
import type { CellStore } from '../cells/scores.js';
import { CellTable } from '../cells/table.js';
import { FsynError } from '../errors.js';
import { jointValuesOf } from '../metrics/faithfulness.js';
import { type Behaviour, behaviourOf } from '../metrics/modality.js';
import type { PreparedSample } from '../vlm/types.js';
import { prepareSample, type SampleTask } from './sample-run.js';
import { SideFile } from './side-file.js';

/** Behaviour of the questions that a run asked, one JSON line each, beside its rows. */
export const needsFile = 'needs.jsonl';

interface NeedLine {
  /** Content key of model, sample and settings. */
  readonly key: string;
  readonly model: string;
  readonly dataset: string;
  readonly sample: string;
  readonly behaviour: Behaviour;
}

function isNeed(value: unknown): value is NeedLine {
  const line = value as Partial<NeedLine> | null;
  return typeof line?.key === 'string' && typeof line.behaviour === 'string';
}

/** Cells found in memory first: what a decision scored is not scored again for the metrics. */
class RecentCells implements CellStore {
  readonly #below: CellStore;
  readonly #recent = new Map<string, Float64Array>();

  constructor(below: CellStore) {
    this.#below = below;
  }

  find(program: string, cell: string): Float64Array | undefined {
    return this.#recent.get(`${program} ${cell}`) ?? this.#below.find(program, cell);
  }

  keep(program: string, cells: readonly string[], scores: Float64Array): void {
    const tokens = scores.length / cells.length;
    for (const [i, cell] of cells.entries())
      this.#recent.set(`${program} ${cell}`, scores.slice(i * tokens, (i + 1) * tokens));
    this.#below.keep(program, cells, scores);
  }
}

/** What the model needed on a sample, and the sample as prepared; null where it cannot be asked. */
async function behaviourOfSample(
  task: Pick<SampleTask, 'model' | 'dataset' | 'sample' | 'settings'>,
  store: CellStore,
  signal: AbortSignal | undefined,
): Promise<{ behaviour: Behaviour; prepared: PreparedSample } | null> {
  try {
    const prepared = await prepareSample(task, signal);
    const table = new CellTable(prepared.imagePlayers.count, prepared.textPlayers.count);
    const wanted = requestCorners(table);
    const scores = await prepared.evaluate(table, { signal, store });
    const corners = cornerValues(wanted, jointValuesOf(task.settings, wanted, scores));
    return { behaviour: behaviourOf(corners, task.settings.floor), prepared };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof FsynError && error.code === 'BUDGET') throw error;
    // The run meets the same failure and writes it down as a row.
    return null;
  }
}

/** Leaves out the samples on which the model does not need both modalities; a run that goes on knows them. */
export class NeedFilter {
  readonly #file: SideFile;
  /** Keys of the samples known from before not to need both. */
  readonly #needless: ReadonlySet<string>;

  constructor(folder: string, note: (text: string) => void) {
    const path = join(folder, needsFile);
    this.#file = new SideFile(path, isNeed, note);
    this.#needless = readNeedless(path);
  }

  /**
   * Whether the sample is left out, else the sample as prepared and a store that has its four corners. Known
   * decisions against a sample cost nothing; the others are made again, on cells that are found.
   *
   * @param key content key of model, sample and settings
   * @returns `cells`: corners that were asked for
   */
  async ask(
    key: string,
    task: Pick<SampleTask, 'model' | 'dataset' | 'sample' | 'settings'>,
    below: CellStore,
    signal: AbortSignal | undefined,
  ): Promise<
    { leftOut: true; cells: number } | ({ leftOut: false } & Pick<SampleTask, 'store' | 'prepared'>)
  > {
    if (this.#needless.has(key)) return { leftOut: true, cells: 0 };
    const store = new RecentCells(below);
    const asked = await behaviourOfSample(task, store, signal);
    if (asked === null) return { leftOut: false, store };
    const { behaviour, prepared } = asked;
    const { model, dataset, sample } = task;
    this.#file.append({ key, model: model.name, dataset: dataset.name, sample: sample.id, behaviour });
    return behaviour === 'both' ? { leftOut: false, store, prepared } : { leftOut: true, cells: 4 };
  }
}

function readNeedless(path: string): Set<string> {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  const known = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as NeedLine);
  return new Set(known.filter(({ behaviour }) => behaviour !== 'both').map(({ key }) => key));
}
