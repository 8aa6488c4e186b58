import type { CellScores, EvaluateOptions } from '../../cells/scores.js';
import { resolveEvaluateOptions } from '../../cells/scores.js';
import type { CellTable } from '../../cells/table.js';
import type { EvaluationPlan } from '../../inference/plan.js';
import { EXPORTED } from '../../onnx/exported.js';
import { maskPixels } from '../masking.js';
import type { Answer, ImagePlayers, PreparedSample, RgbImage, TextPlayers } from '../types.js';
import { type Caption, maskCaption } from './caption.js';
import { StateEncoder } from './states.js';
import { captionFeeds, type SimilarityHead, type Towers } from './towers.js';

/** What scoring a sample of a dual encoder takes. */
export interface DualInputs {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly caption: Caption;
  readonly padTokenId: number;
  readonly textMasking: 'remove' | 'attend';
  readonly views: readonly RgbImage[];
  readonly pixels: Float32Array;
  readonly baselinePixels: Float32Array;
  readonly height: number;
  readonly width: number;
  readonly pixelPlayers: Int32Array;
  readonly imagePlayers: ImagePlayers;
  /** Tokens of the vision tower: patches and class token. */
  readonly visionTokens: number;
  /** Set where a cell is worth the probability that the caption fits; without it, it is worth the cosine. */
  readonly head: SimilarityHead | undefined;
  readonly memory: number;
}

/**
 * A prepared (image, caption) pair of a dual encoder. Every image state and every text state is encoded once,
 * however many cells meet in it: a cell is a dot product.
 */
export class DualSample implements PreparedSample {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly imagePlayers: ImagePlayers;
  readonly textPlayers: TextPlayers;
  readonly answer: Answer;
  readonly views: readonly RgbImage[];
  readonly #inputs: DualInputs;
  readonly #images: StateEncoder;
  readonly #texts: StateEncoder;

  private constructor(inputs: DualInputs, images: StateEncoder, texts: StateEncoder, cosine: number) {
    this.image = inputs.image;
    this.question = inputs.question;
    this.prompt = inputs.prompt;
    this.imagePlayers = inputs.imagePlayers;
    this.textPlayers = inputs.caption.players;
    this.views = inputs.views;
    this.answer = similarityAnswer(cosine, inputs.head);
    this.#inputs = inputs;
    this.#images = images;
    this.#texts = texts;
  }

  /** @throws FsynError BUDGET where one image or caption does not fit into the memory budget */
  static async create(
    towers: Towers,
    inputs: DualInputs,
    signal: AbortSignal | undefined,
  ): Promise<DualSample> {
    const images = imageStates(towers, inputs);
    const texts = textStates(towers, inputs);
    const whole = async (side: StateEncoder, players: number) => {
      const found = await side.embeddings(new Uint8Array(players).fill(1), [0], signal, () => {});
      return found.get(0) as Float32Array;
    };
    const seen = await whole(images, inputs.imagePlayers.count);
    const read = await whole(texts, inputs.caption.players.count);
    return new DualSample(inputs, images, texts, cosineOf(seen, read));
  }

  /** The image and text states that are to be encoded; a cell itself costs a dot product. */
  async plan(cells: CellTable): Promise<EvaluationPlan> {
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const seen = this.#images.known(cells.imageMasks());
    const read = this.#texts.known(cells.textMasks());
    const pairs = Array.from(statePairs(cells));
    const missing = pairs.filter(([image, text]) => !(seen[image] && read[text])).length;
    const imageStates = new Set(pairs.map(([image]) => image).filter((state) => !seen[state])).size;
    const textStates = new Set(pairs.map(([, text]) => text).filter((state) => !read[state])).size;
    const { stateFlops: imageFlops } = this.#images;
    const { stateFlops: textFlops } = this.#texts;
    const imageBatch = await this.#images.batch(imageStates);
    const textBatch = await this.#texts.batch(textStates);
    const vision = imageStates * imageFlops;
    const suffix = textStates * textFlops;
    const worker = Math.max(
      Math.min(imageBatch, Math.max(1, imageStates)) * this.#images.stateBytes,
      Math.min(textBatch, Math.max(1, textStates)) * this.#texts.stateBytes,
    );
    return {
      cells: cells.cellCount,
      cachedCells: cells.cellCount - missing,
      imageStates,
      textStates,
      prefixes: 0,
      suffixes: textStates,
      onDevice: false,
      deviceKernels: false,
      prefixTokens: 0,
      suffixTokens: this.#inputs.caption.ids.length,
      suffixWork: {
        runs: Math.ceil(textStates / textBatch),
        tokens: textStates * this.#inputs.caption.ids.length,
        padding: 0,
        withRemoved: textStates * this.#inputs.caption.ids.length,
      },
      groups: missing > 0 ? 1 : 0,
      workers: 1,
      batches: { vision: imageBatch, prefix: 1, suffix: textBatch },
      flops: {
        vision,
        prefix: 0,
        suffix,
        total: vision + suffix,
        unshared: vision + missing * textFlops,
        naive: missing * (imageFlops + textFlops),
      },
      bytes: {
        worker,
        peak: missing > 0 ? worker : 0,
        budget: this.#inputs.memory,
        least: Math.max(this.#images.stateBytes, this.#texts.stateBytes),
      },
      fallbacks: [...this.#images.fallbacks, ...this.#texts.fallbacks],
    };
  }

  async evaluate(cells: CellTable, given?: EvaluateOptions): Promise<CellScores> {
    const { signal, onProgress } = resolveEvaluateOptions(given);
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const pairs = Array.from(statePairs(cells));
    const images = [...new Set(pairs.map(([image]) => image))];
    const texts = [...new Set(pairs.map(([, text]) => text))];
    // Encoding is the work; cells are counted in proportion to it.
    const report = (states: number) =>
      onProgress?.(
        Math.floor((cells.cellCount * states) / (images.length + texts.length + 1)),
        cells.cellCount,
      );
    const seen = await this.#images.embeddings(cells.imageMasks(), images, signal, report);
    const read = await this.#texts.embeddings(cells.textMasks(), texts, signal, (done) =>
      report(images.length + done),
    );
    const cosines = Float64Array.from(pairs, ([image, text]) =>
      cosineOf(seen.get(image) as Float32Array, read.get(text) as Float32Array),
    );
    onProgress?.(cells.cellCount, cells.cellCount);
    const { head } = this.#inputs;
    const shared = { tokens: 1, decision: 0 };
    if (head === undefined) return { ...shared, logProbabilities: new Float64Array(), similarities: cosines };
    return { ...shared, logProbabilities: cosines.map((cosine) => logSigmoid(logitOf(cosine, head))) };
  }
}

function imageStates({ image }: Towers, inputs: DualInputs): StateEncoder {
  const { pixels, baselinePixels, pixelPlayers, height, width } = inputs;
  return new StateEncoder({
    side: 'image',
    players: inputs.imagePlayers.count,
    costs: image.costs,
    tokens: inputs.visionTokens,
    inputBytes: 2 * pixels.byteLength,
    fixedBatch: image.extent(EXPORTED.pixels, 0),
    memory: inputs.memory,
    batches: image.batches,
    encode: (masks, signal) => {
      const all = new Float32Array(masks.length * pixels.length);
      for (const [row, present] of masks.entries()) {
        all.set(maskPixels(pixels, baselinePixels, pixelPlayers, present), row * pixels.length);
      }
      const feed = image.floatFeed(EXPORTED.pixels, all, [masks.length, 3, height, width]);
      return image.embed({ pixel_values: feed }, masks.length, signal);
    },
  });
}

function textStates({ text }: Towers, inputs: DualInputs): StateEncoder {
  const { caption, padTokenId, textMasking } = inputs;
  return new StateEncoder({
    side: 'text',
    players: caption.players.count,
    costs: text.costs,
    tokens: caption.ids.length,
    inputBytes: 2 * caption.ids.byteLength,
    fixedBatch: text.extent(EXPORTED.tokens, 0),
    memory: inputs.memory,
    batches: text.batches,
    encode: (masks, signal) => {
      const rows = masks.map((present) => maskCaption(caption, present, padTokenId, textMasking));
      return text.embed(captionFeeds(text, rows), masks.length, signal);
    },
  });
}

/** Image state and text state of every cell, in order. */
function* statePairs(cells: CellTable): Generator<[image: number, text: number]> {
  const pairs = cells.pairs();
  for (let i = 0; i < pairs.length; i += 2) yield [pairs[i], pairs[i + 1]];
}

/**
 * Cosine of two embeddings of length 1, summed in double precision; rounding may not take it out of [-1, 1].
 */
function cosineOf(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (const [i, value] of a.entries()) sum += value * b[i];
  return Math.max(-1, Math.min(1, sum));
}

function logitOf(cosine: number, { scale, bias }: SimilarityHead): number {
  return scale * cosine + bias;
}

function logSigmoid(logit: number): number {
  return logit >= 0 ? -Math.log1p(Math.exp(-logit)) : logit - Math.log1p(Math.exp(logit));
}

/** No model wrote this: a dual encoder says how well the caption fits, and nothing else. */
function similarityAnswer(cosine: number, head: SimilarityHead | undefined): Answer {
  const value = head === undefined ? cosine : Math.exp(logSigmoid(logitOf(cosine, head)));
  const number = value.toFixed(4);
  return {
    text: head === undefined ? `cosine similarity ${number}` : `probability ${number} that the caption fits`,
    tokenIds: new Int32Array(),
    tokens: [],
    decisionIndex: 0,
    decisionKind: 'similarity',
    decisionToken: number,
    decision: number,
  };
}
