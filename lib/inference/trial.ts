import { addon } from '../addon/addon.js';
import { runJob } from '../addon/job.js';
import { CellTable } from '../cells/table.js';
import { FsynError } from '../errors.js';
import { Once } from '../lease.js';
import type { NativeSchedule } from './native.js';
import { createNativeProgram, type EvaluatorProgram, type ProgramMode } from './program.js';

/**
 * How many image states, prefixes and sequences of a trial are run at once, and how many image states are in
 * work.
 */
export interface TrialBatches {
  readonly vision: number;
  readonly prefix: number;
  readonly suffix: number;
  readonly group: number;
}

export const ALONE: TrialBatches = { vision: 1, prefix: 1, suffix: 1, group: 1 };

/**
 * Every pair of some image and text states of a program, as different as its players allow: everything
 * present, every second player, then mixed. A trial on equal states would not see that one of them reaches
 * into the other.
 */
export function trialCells(program: EvaluatorProgram, images: number, texts: number): CellTable {
  const cells = new CellTable(program.imagePlayers, program.textPlayers);
  for (let i = 0; i < images; i++) {
    const image = cells.imageState(trialState(program.imagePlayers, i));
    for (let t = 0; t < texts; t++) cells.cell(image, cells.textState(trialState(program.textPlayers, t)));
  }
  return cells;
}

/** Presence of the players of the trial state with this number. */
function trialState(players: number, number: number): Uint8Array {
  if (number === 0) return new Uint8Array(players).fill(1);
  if (number === 1) return Uint8Array.from({ length: players }, (_, p) => p % 2);
  let state = number;
  return Uint8Array.from({ length: players }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 31;
  });
}

/** Scores of the cells of a trial in one way of running them, which those of other ways are compared with. */
export class Reference {
  readonly #program: EvaluatorProgram;
  readonly #mode: ProgramMode;
  readonly #cells: CellTable;
  readonly #batches: TrialBatches;
  readonly #signal: AbortSignal | undefined;
  readonly #scores = new Once<Scores>();
  readonly #ownRounding = new Once<number>();

  constructor(
    program: EvaluatorProgram,
    mode: ProgramMode,
    cells: CellTable,
    batches: TrialBatches,
    signal: AbortSignal | undefined,
  ) {
    this.#program = { ...program, targets: trialTargets(program) };
    this.#mode = mode;
    this.#cells = cells;
    this.#batches = batches;
    this.#signal = signal;
  }

  /**
   * What is wrong with another way of running the same cells; undefined where it gives the same scores.
   *
   * @throws what the passes of the reference itself end in, and want of memory
   */
  async problemOf(mode: ProgramMode, batches: TrialBatches): Promise<string | undefined> {
    const own = await this.#own();
    let apart: number;
    try {
      apart = distance(own, await score(this.#program, mode, this.#cells, batches, this.#signal));
    } catch (error) {
      if (!(error instanceof FsynError) || error.code === 'OUT_OF_MEMORY') throw error;
      return `a run fails (${error.message})`;
    }
    if ((await this.#mayBeRounding(apart)) && apart <= spread(own) / 10) return undefined;
    return `scores differ by ${apart.toExponential(1)}`;
  }

  /**
   * Whether arithmetic in another order may land so far away. Float32 log-probabilities mostly agree to 1e-5;
   * a model that makes much of little must not be taken for one that computes something else, and is asked
   * how far the smallest change of its pixels leads.
   */
  async #mayBeRounding(apart: number): Promise<boolean> {
    const own = await this.#own();
    if (apart <= roundingOf(this.#program, own)) return true;
    if (!(apart <= MOST_ROUNDING)) return false;
    const scaled = (values: Float32Array) => values.map((value) => value * (1 + 2 ** -23));
    const { pixels, baselinePixels } = this.#program;
    const nudged = { ...this.#program, pixels: scaled(pixels), baselinePixels: scaled(baselinePixels) };
    const ownRounding = await this.#ownRounding.get(async () => distance(own, await this.#run(nudged)));
    return apart <= 8 * ownRounding;
  }

  #own(): Promise<Scores> {
    return this.#scores.get(() => this.#run(this.#program));
  }

  #run(program: EvaluatorProgram): Promise<Scores> {
    return score(program, this.#mode, this.#cells, this.#batches, this.#signal);
  }
}

/** No rounding leads so far: a difference of a percent in probability is another result. */
const MOST_ROUNDING = 1e-2;

/**
 * Words of the question in the places of the scored tokens. A model that is sure of its answer gives it a
 * log-probability near 0 whatever it has computed; that of a word that it does not expect follows every
 * logit.
 */
function trialTargets({ targets, tokenIds, textPositions, decoder, wiring }: EvaluatorProgram): Int32Array {
  const vocabulary = decoder.outputs.find(({ name }) => name === wiring.logits)?.shape[2];
  const most = typeof vocabulary === 'number' ? vocabulary : Math.max(...targets) + 1;
  const words = Array.from(textPositions, (position) => tokenIds[position]).filter((id) => id < most);
  return targets.map((target, i) => {
    const others = words.filter((id) => id !== target);
    return others.length === 0 ? target : others[i % others.length];
  });
}

/** What a trial gives: scores [rows, targets], and the cell of every row; a cell may have several rows. */
interface Scores {
  readonly values: Float64Array;
  readonly rowCells: readonly number[];
  readonly targets: number;
}

/** Scores of all cells of a table, run in this way. */
async function score(
  program: EvaluatorProgram,
  mode: ProgramMode,
  cells: CellTable,
  batches: TrialBatches,
  signal: AbortSignal | undefined,
): Promise<Scores> {
  const { schedule, rowCells } = trialSchedule(cells, batches);
  const native = createNativeProgram(program, mode);
  const result = await runJob(() => addon().evaluateCoalitions(native, schedule), signal);
  if (result.failure !== undefined) throw result.failure;
  return { values: result.logProbabilities, rowCells, targets: program.targets.length };
}

/** Neighbours in a run differ in their image state, where the group has several, and in their text state. */
function trialSchedule(
  cells: CellTable,
  batches: TrialBatches,
): { schedule: NativeSchedule; rowCells: number[] } {
  const byImage = cells.byImage();
  const states = [...byImage.keys()];
  const rowCells: number[] = [];
  const rowSlots: number[] = [];
  const [groupOffsets, rowOffsets, runOffsets] = [[0], [0], [0]];
  for (let begin = 0; begin < states.length; begin += batches.group) {
    const group = states.slice(begin, begin + batches.group);
    const members = group.map((state) => byImage.get(state)!);
    const first = rowCells.length;
    const texts = members[0].length;
    // As many rows as fill a run.
    for (let text = 0; text < texts || rowCells.length - first < batches.suffix; text++) {
      for (const [slot, own] of members.entries()) {
        rowCells.push(own[(text + slot) % own.length]);
        rowSlots.push(slot);
      }
    }
    for (let row = first; row < rowCells.length; row += batches.suffix) {
      runOffsets.push(Math.min(row + batches.suffix, rowCells.length));
    }
    groupOffsets.push(begin + group.length);
    rowOffsets.push(rowCells.length);
  }
  const schedule = {
    imagePlayers: cells.imagePlayers,
    textPlayers: cells.textPlayers,
    imageStates: cells.imageMasks(),
    textStates: cells.textMasks(),
    groupOffsets: Int32Array.from(groupOffsets),
    groupStates: Int32Array.from(states),
    rowOffsets: Int32Array.from(rowOffsets),
    rowSlots: Int32Array.from(rowSlots),
    rowTexts: Int32Array.from(rowCells, (cell) => cells.textOf(cell)),
    runOffsets: Int32Array.from(runOffsets),
    visionBatch: batches.vision,
    prefixBatch: batches.prefix,
    workers: 1,
  };
  return { schedule, rowCells };
}

/** Largest difference of a row's score from that of the first row of the same cell. */
function distance(reference: Scores, other: Scores): number {
  const { targets } = reference;
  let worst = 0;
  for (const [row, cell] of other.rowCells.entries()) {
    const first = reference.rowCells.indexOf(cell);
    for (let t = 0; t < targets; t++) {
      const apart = Math.abs(other.values[row * targets + t] - reference.values[first * targets + t]);
      if (!(apart <= worst)) worst = apart;
    }
  }
  return worst;
}

/** How far the scores of one token are apart over all cells, at most. */
function spread({ values, targets }: Scores): number {
  let widest = 0;
  for (let t = 0; t < targets; t++) {
    const column = values.filter((_, i) => i % targets === t);
    widest = Math.max(widest, Math.max(...column) - Math.min(...column));
  }
  return widest;
}

/**
 * How far the same arithmetic in another order lands anywhere: float32 log-probabilities of order 10 agree to
 * 1e-5, half ones to 1e-2, and larger ones to some steps of their own.
 */
function roundingOf({ decoder, wiring }: EvaluatorProgram, { values }: Scores): number {
  const half =
    decoder.inputs.some((input) => input.elementType === 'float16') ||
    decoder.outputs.some((output) => output.name === wiring.logits && output.elementType === 'float16');
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return (half ? 2e-2 : 1e-4) * Math.max(1, largest / 50);
}
