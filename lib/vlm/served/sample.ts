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
  readonly salt: string;
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
    const scores = new Float64Array(cells.cellCount);
    const open: number[] = [];
    for (let cell = 0; cell < cells.cellCount; cell++) {
      const known = store?.find(program, keys[cell]);
      if (known?.length === 1) scores[cell] = known[0];
      else open.push(cell);
    }
    let done = cells.cellCount - open.length;
    const found = done;
    // What fails ends the rest: nobody waits for their answers.
    const failed = new AbortController();
    const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    // Every request in the queue listens.
    setMaxListeners(0, stop);
    const ask = async (cell: number, png: Uint8Array) => {
      scores[cell] = await this.#ask(png, cells.textPresence(cells.textOf(cell)), stop);
      store?.keep(program, [keys[cell]], Float64Array.of(scores[cell]));
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
    return { logProbabilities: scores, tokens: 1, decision: 0, found };
  }

  async #ask(png: Uint8Array, present: Uint8Array, signal: AbortSignal | undefined): Promise<number> {
    const { client, dialect, model, words, instruction, prefill, target, salt } = this.#inputs;
    const text = maskedQuestion(words, present) + instruction;
    const query = { png, text, prefill, maxTokens: 1, wanted: [target], salt, bias: {} };
    const { tokens } = await dialect.ask(client, model, query, signal);
    const score = tokens[0]?.others.get(target);
    if (score !== undefined && Number.isFinite(score) && score > -9000) return score;
    throw new FsynError(
      'SERVER',
      `${client.origin} did not give the log-probability of ${JSON.stringify(target)}: ` +
        `${dialect.exact ? 'it was asked for by name' : `it is not among the ${tokens[0]?.others.size ?? 0} likeliest tokens, and ${dialect.name} gives no others`}.`,
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
