import { formatBytes } from '../../bytes.js';
import type { CellScores, EvaluateOptions } from '../../cells/scores.js';
import { resolveEvaluateOptions } from '../../cells/scores.js';
import type { CellTable } from '../../cells/table.js';
import { FsynError } from '../../errors.js';
import { cellKeys } from '../../inference/cell-cache.js';
import { contentHash } from '../../inference/content.js';
import type { EvaluationPlan } from '../../inference/plan.js';
import { runtime } from '../../inference/runtime.js';
import { type Graph, requireInput, requireOutput } from '../files/contract.js';
import { floatFeed, floatValues, integerFeed } from '../files/feeds.js';
import { maskPixels, maskTokens } from '../masking.js';
import { RowBatches, trialPresence } from '../row-trial.js';
import { logSoftmaxAt } from '../scoring.js';
import type { Answer, ImagePlayers, PreparedSample, RgbImage, TextPlayers } from '../types.js';
import type { ClassifierManifest } from './manifest.js';
import type { EncodedQuestion } from './question.js';

/** A question with some of its players absent. */
export interface MaskedQuestion {
  readonly encoded: EncodedQuestion;
  readonly present: Uint8Array;
  readonly masking: 'remove' | 'attend';
}

const largestBatch = 32;
/**
 * Floats per pixel value that a small convolutional network holds at once: the input twice and its widest
 * layers.
 */
const activationsPerPixel = 24;

/** Feeds a classifier's graph. */
export class ClassifierRun {
  readonly #graph: Graph;
  readonly #manifest: ClassifierManifest;
  /** The graph's own batch where it is fixed, else a bound on memory. */
  readonly mostRows: number;
  /** Estimated bytes of a row, and those that rows may take together. */
  readonly rowBytes: number;
  readonly memory: number;
  /** How many rows may share a run. */
  readonly batches: RowBatches;

  /**
   * @param quantizers operators by which the graph rounds activations to integers
   * @throws FsynError BUDGET where one row does not fit into `memory` bytes
   */
  constructor(graph: Graph, manifest: ClassifierManifest, memory: number, quantizers: readonly string[]) {
    this.#graph = graph;
    this.#manifest = manifest;
    const batch = requireInput(graph, manifest.image.input).shape[0];
    this.rowBytes = 4 * activationsPerPixel * 3 * manifest.image.height * manifest.image.width;
    this.memory = memory;
    const fitting = Math.floor(memory / this.rowBytes);
    if (fitting < 1) {
      throw new FsynError(
        'BUDGET',
        `A memory budget of ${formatBytes(memory)} is too small: one run of the classifier needs about ${formatBytes(this.rowBytes)}.`,
      );
    }
    this.mostRows = typeof batch === 'number' ? 1 : Math.min(largestBatch, fitting);
    const half = requireOutput(graph, manifest.logits).elementType === 'float16';
    this.batches = new RowBatches('text', half, quantizers);
  }

  get answers(): number {
    return this.#manifest.answers.length;
  }

  /**
   * @param pixels one pixel input per row of the batch
   * @param questions one question per row
   * @returns [rows, answers]
   */
  async logits(
    pixels: readonly Float32Array[],
    questions: readonly MaskedQuestion[],
    signal: AbortSignal | undefined,
  ): Promise<Float32Array> {
    const { image, logits } = this.#manifest;
    const size = pixels[0].length;
    const values = new Float32Array(pixels.length * size);
    for (const [i, row] of pixels.entries()) values.set(row, i * size);
    const extents = image.layout === 'NCHW' ? [3, image.height, image.width] : [image.height, image.width, 3];
    const feeds = {
      [image.input]: floatFeed(requireInput(this.#graph, image.input), values, [pixels.length, ...extents]),
      ...this.#questionFeeds(questions),
    };
    const results = await this.#graph.session.run(feeds, { outputs: [logits], signal });
    return floatValues(logits, results[logits]).values;
  }

  #questionFeeds(questions: readonly MaskedQuestion[]) {
    return this.#manifest.question.encoding === 'bag-of-words'
      ? this.#wordCounts(questions)
      : this.#tokenIds(questions);
  }

  #wordCounts(questions: readonly MaskedQuestion[]) {
    const info = requireInput(this.#graph, this.#manifest.question.input);
    const words = info.shape[1] as number;
    const counts = new Float32Array(questions.length * words);
    for (const [row, { encoded, present }] of questions.entries()) {
      const absent = new Set(Array.from(encoded.players.positions).filter((_, p) => present[p] === 0));
      for (const [i, id] of encoded.ids.entries()) if (!absent.has(i)) counts[row * words + id]++;
    }
    return { [info.name]: floatFeed(info, counts, [questions.length, words]) };
  }

  #tokenIds(questions: readonly MaskedQuestion[]) {
    const { input, padId, length: fixed, attentionInput } = this.#manifest.question;
    const info = requireInput(this.#graph, input);
    const length = fixed ?? Math.max(...questions.map(({ encoded }) => encoded.ids.length));
    const ids = new Int32Array(questions.length * length).fill(padId);
    const attention = new Int32Array(ids.length);
    for (const [row, { encoded, present, masking }] of questions.entries()) {
      const masked = maskTokens(encoded.ids, encoded.players.positions, present, padId, masking);
      ids.set(masked.ids, row * length);
      attention.set(masked.attention, row * length);
    }
    const shape = [questions.length, length];
    const feeds = { [input]: integerFeed(info, ids, shape) };
    if (attentionInput !== undefined) {
      const attentionInfo = requireInput(this.#graph, attentionInput);
      feeds[attentionInput] = attentionInfo.elementType.startsWith('float')
        ? floatFeed(attentionInfo, Float32Array.from(attention), shape)
        : integerFeed(attentionInfo, attention, shape);
    }
    return feeds;
  }
}

export interface ClassifierInputs {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly encoded: EncodedQuestion;
  readonly pixels: Float32Array;
  readonly baselinePixels: Float32Array;
  /** Image player of every element of `pixels`. */
  readonly pixelPlayers: Int32Array;
  readonly imagePlayers: ImagePlayers;
  readonly masking: 'remove' | 'attend';
  /** What decides how the classifier computes: the hash of its files and the providers. */
  readonly modelContent: string;
  readonly answer: Answer;
}

/** A prepared sample of a classifier: one run gives one cell. */
export class ClassifierSample implements PreparedSample {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly imagePlayers: ImagePlayers;
  readonly textPlayers: TextPlayers;
  readonly answer: Answer;
  readonly #run: ClassifierRun;
  readonly #inputs: ClassifierInputs;
  #content: string | undefined;

  constructor(run: ClassifierRun, inputs: ClassifierInputs) {
    this.image = inputs.image;
    this.question = inputs.question;
    this.prompt = inputs.prompt;
    this.imagePlayers = inputs.imagePlayers;
    this.textPlayers = inputs.encoded.players;
    this.answer = inputs.answer;
    this.#run = run;
    this.#inputs = inputs;
  }

  /** Every cell is a row of a run; nothing else is shared. */
  async plan(cells: CellTable): Promise<EvaluationPlan> {
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const { cellCount } = cells;
    const { rowBytes, memory } = this.#run;
    const batch = await this.#batch(cellCount, undefined);
    const length = this.#inputs.encoded.ids.length;
    const tokens = cellCount * length;
    const worker = Math.min(batch, Math.max(1, cellCount)) * rowBytes;
    return {
      cells: cellCount,
      cachedCells: 0,
      imageStates: cells.byImage().size,
      textStates: new Set(Array.from({ length: cellCount }, (_, cell) => cells.textOf(cell))).size,
      prefixes: 0,
      suffixes: cellCount,
      onDevice: false,
      deviceKernels: false,
      prefixTokens: 0,
      suffixTokens: length,
      suffixWork: { runs: Math.ceil(cellCount / batch), tokens, padding: 0, withRemoved: tokens },
      groups: Math.min(1, cellCount),
      workers: 1,
      batches: { vision: batch, prefix: 1, suffix: batch },
      flops: undefined,
      bytes: { worker, peak: cellCount > 0 ? worker : 0, budget: memory, least: rowBytes },
      fallbacks: this.#run.batches.fallbacks,
    };
  }

  async evaluate(cells: CellTable, given?: EvaluateOptions): Promise<CellScores> {
    const options = resolveEvaluateOptions(given);
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const { answer } = this.#inputs;
    const scores = new Float64Array(cells.cellCount);
    const { store } = options;
    const keys = store && cellKeys(cells);
    let found = 0;
    const most = await this.#batch(cells.cellCount, options.signal);
    for (let from = 0; from < cells.cellCount; from += most) {
      options.signal?.throwIfAborted();
      const count = Math.min(most, cells.cellCount - from);
      // Cells that are found keep their places in the batches, so that the others get the bytes that they
      // would have got.
      const batch: number[] = [];
      for (let cell = from; cell < from + count; cell++) {
        const known = keys && store?.find(this.#contentKey(), keys[cell]);
        if (known?.length === 1) scores[cell] = known[0];
        else batch.push(cell);
      }
      found += count - batch.length;
      if (batch.length === 0) continue;
      const states = batch.map(
        (cell) => [cells.imagePresence(cells.imageOf(cell)), cells.textPresence(cells.textOf(cell))] as const,
      );
      const logits = await this.#logits(states, options.signal);
      for (const [i, cell] of batch.entries()) {
        scores[cell] = logSoftmaxAt(logits, this.#run.answers, i, answer.tokenIds[0]);
      }
      if (keys !== undefined) {
        const values = Float64Array.from(batch, (cell) => scores[cell]);
        store?.keep(
          this.#contentKey(),
          batch.map((cell) => keys[cell]),
          values,
        );
      }
      options.onProgress?.(from + count, cells.cellCount);
    }
    return { logProbabilities: scores, tokens: 1, decision: 0, found };
  }

  /**
   * How many of `count` cells are run together; a size that was not tried yet is tried on pairs of two image
   * and two text states.
   */
  #batch(count: number, signal: AbortSignal | undefined): Promise<number> {
    const { answers } = this.#run;
    return this.#run.batches.size(this.#run.mostRows, count, 4, async (items) => {
      const states = items.map(
        (item) =>
          [
            trialPresence(this.imagePlayers.count, item % 2),
            trialPresence(this.textPlayers.count, item >> 1),
          ] as const,
      );
      const logits = await this.#logits(states, signal);
      return items.map((_, row) => logits.subarray(row * answers, (row + 1) * answers));
    });
  }

  /** Logits of pairs of an image and a text state: [pairs, answers]. */
  #logits(
    states: readonly (readonly [image: Uint8Array, text: Uint8Array])[],
    signal: AbortSignal | undefined,
  ): Promise<Float32Array> {
    const { pixels, baselinePixels, pixelPlayers, encoded, masking } = this.#inputs;
    const images = states.map(([image]) => maskPixels(pixels, baselinePixels, pixelPlayers, image));
    const questions = states.map(([, present]) => ({ encoded, present, masking }));
    return this.#run.logits(images, questions, signal);
  }

  #contentKey(): string {
    const { modelContent, pixels, baselinePixels, pixelPlayers, encoded, masking, answer } = this.#inputs;
    this.#content ??= contentHash([
      modelContent,
      runtime().version,
      pixels,
      baselinePixels,
      pixelPlayers,
      Int32Array.from(encoded.ids),
      Int32Array.from(encoded.players.positions),
      masking,
      answer.tokenIds,
      this.#run.mostRows,
      this.#run.batches.fallbacks.length,
    ]);
    return this.#content;
  }
}
