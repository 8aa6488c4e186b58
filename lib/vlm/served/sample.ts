import { setMaxListeners } from 'node:events';
import { type CellScores, type EvaluateOptions, resolveEvaluateOptions } from '../../cells/scores.js';
import type { CellTable } from '../../cells/table.js';
import { FsynError } from '../../errors.js';
import { cellKeys } from '../../inference/cell-cache.js';
import { contentHash } from '../../inference/content.js';
import { encodePng } from '../images/encode.js';
import type { Answer, ImagePlayers, PreparedSample, RgbImage, TextPlayers } from '../types.js';
import type { ServerClient } from './client.js';
import type { Dialect } from './dialect.js';
import { maskedPicture, maskedQuestion, type ServedPicture } from './players.js';

/** What scoring a sample of a served model takes. */
export interface ServedInputs {
  readonly client: ServerClient;
  readonly dialect: Dialect;
  readonly model: string;
  /** Fingerprint of server and model. */
  readonly content: string;
  readonly image: RgbImage;
  readonly question: string;
  readonly instruction: string;
  readonly picture: ServedPicture;
  readonly baseline: RgbImage;
  readonly words: TextPlayers;
  readonly answer: Answer;
  /** The decision token as the dialect names it, and the text before it. */
  readonly target: string;
  readonly prefill: string;
  readonly template: string | undefined;
  readonly salt: string;
  /** Standard deviation of a log-probability when a request is repeated, in nats. */
  readonly noise: number;
}

/** A prepared sample of a served model: one request gives one cell. */
export class ServedSample implements PreparedSample {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly imagePlayers: ImagePlayers;
  readonly textPlayers: TextPlayers;
  readonly answer: Answer;
  readonly views: readonly RgbImage[];
  readonly #inputs: ServedInputs;
  /** Both ends of every cell asked for so far: what explainers and metrics share is one request. */
  readonly #asked = new Map<string, readonly [low: number, high: number]>();

  constructor(inputs: ServedInputs) {
    this.image = inputs.image;
    this.question = inputs.question;
    this.prompt = inputs.question + inputs.instruction;
    this.imagePlayers = inputs.picture.players;
    this.textPlayers = inputs.words;
    this.answer = inputs.answer;
    this.views = [inputs.picture.image];
    this.#inputs = inputs;
  }

  async evaluate(cells: CellTable, given?: EvaluateOptions): Promise<CellScores> {
    const { signal, store, onProgress } = resolveEvaluateOptions(given);
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const keys = cellKeys(cells);
    const program = this.#program();
    const lower = new Float64Array(cells.cellCount);
    const upper = new Float64Array(cells.cellCount);
    const open: number[] = [];
    let found = 0;
    for (let cell = 0; cell < cells.cellCount; cell++) {
      const asked = this.#asked.get(keys[cell]);
      if (asked !== undefined) {
        [lower[cell], upper[cell]] = asked;
        continue;
      }
      const known = store?.find(program, keys[cell]);
      if (known?.length === 1 || known?.length === 2) {
        [lower[cell], upper[cell]] = [known[0], known.at(-1)!];
        this.#asked.set(keys[cell], [lower[cell], upper[cell]]);
        found++;
      } else open.push(cell);
    }
    let done = cells.cellCount - open.length;
    // What fails ends the rest: nobody waits for their answers.
    const failed = new AbortController();
    const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    // Every request in the queue listens.
    setMaxListeners(0, stop);
    const ask = async (cell: number, png: Uint8Array) => {
      const [low, high] = await this.#ask(png, cells.textPresence(cells.textOf(cell)), stop);
      [lower[cell], upper[cell]] = [low, high];
      this.#asked.set(keys[cell], [low, high]);
      store?.keep(program, [keys[cell]], low === high ? Float64Array.of(low) : Float64Array.of(low, high));
      onProgress?.(++done, cells.cellCount);
    };
    // Cells of one image state back to back: the server keeps what they share.
    const states = [...cells.byImage(open)];
    const work = Promise.all(
      states.map(async ([state, members]) => {
        const picture = maskedPicture(
          this.#inputs.picture,
          this.#inputs.baseline,
          cells.imagePresence(state),
        );
        const png = await encodePng(picture);
        await Promise.all(members.map((cell) => ask(cell, png)));
      }),
    );
    await work.catch((error: unknown) => {
      failed.abort(error);
      throw error;
    });
    signal?.throwIfAborted();
    return { ...scoresWithin(lower, upper), ...this.#noise(), tokens: 1, decision: 0, found };
  }

  #noise(): Pick<CellScores, 'noise'> {
    const { noise } = this.#inputs;
    return noise > 0 ? { noise } : {};
  }

  /** Both ends of the decision token's log-probability. */
  async #ask(
    png: Uint8Array,
    present: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<readonly [low: number, high: number]> {
    const { client, dialect, model, words, instruction, template, prefill, target, salt } = this.#inputs;
    const text = maskedQuestion(words, present) + instruction;
    const query = { png, text, template, prefill, maxTokens: 1, wanted: [target], salt, bias: {} };
    const { tokens } = await dialect.ask(client, model, query, signal);
    const others = tokens[0]?.others ?? new Map<string, number>();
    const score = others.get(target);
    if (score !== undefined) return [score, score];
    if (!dialect.exact && others.size > 0) return [Number.NEGATIVE_INFINITY, mostOfMissing(others)];
    throw new FsynError(
      'SERVER',
      `${client.origin} did not give the log-probability of ${JSON.stringify(target)}, which was asked for by name.`,
    );
  }

  /** What decides a score besides the cell. */
  #program(): string {
    const { content, picture, baseline, words, instruction, prefill, target } = this.#inputs;
    return contentHash([
      content,
      picture.image.data as Uint8Array,
      baseline.data as Uint8Array,
      Int32Array.of(picture.players.rows, picture.players.columns),
      JSON.stringify([words.labels, instruction, prefill, target]),
    ]);
  }
}

/** Twenty rounded float32 log-probabilities may add up to so much more than they should. */
const rounding = 1e-6;

/**
 * The largest log-probability of a token that is not among the likeliest: not above the least of these, nor
 * above what they leave.
 */
function mostOfMissing(others: ReadonlyMap<string, number>): number {
  const probabilities = Array.from(others.values(), Math.exp);
  const left = 1 - probabilities.reduce((sum, probability) => sum + probability, 0);
  return Math.log(Math.min(...probabilities, Math.max(left, 0) + rounding));
}

/** Scores between both ends: where these differ, the middle of the probabilities stands for the score. */
function scoresWithin(
  lower: Float64Array,
  upper: Float64Array,
): Pick<CellScores, 'logProbabilities' | 'bounds'> {
  if (lower.every((low, i) => low === upper[i])) return { logProbabilities: lower };
  const middle = upper.map((high, i) => (lower[i] === high ? high : high - Math.LN2));
  return { logProbabilities: middle, bounds: { lower, upper } };
}
