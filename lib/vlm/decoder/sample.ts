import ndarray from 'ndarray';
import type { CellScores, EvaluateOptions } from '../../cells/scores.js';
import { resolveEvaluateOptions } from '../../cells/scores.js';
import type { CellTable } from '../../cells/table.js';
import { checkInteger } from '../../checks.js';
import { FsynError } from '../../errors.js';
import { fromHalfArray } from '../../float16.js';
import { CoalitionEvaluator, type EvaluatedCells } from '../../inference/evaluator.js';
import type { EvaluationPlan } from '../../inference/plan.js';
import type { EvaluatorProgram } from '../../inference/program.js';
import type { TensorArray } from '../../inference/tensor.js';
import { Once } from '../../lease.js';
import { leaveOut, maskPixels, maskTokens } from '../masking.js';
import { logSoftmaxAt } from '../scoring.js';
import type {
  Answer,
  ImagePlayers,
  ModelFeed,
  PreparedSample,
  RgbImage,
  TextPlayers,
  WhiteBox,
} from '../types.js';
import { firstColumns } from './generate.js';
import type { ImageFeatures } from './graphs.js';
import type { PreparedInputs, VlmParts } from './parts.js';
import { evaluatorProgram } from './program.js';

/** A prepared sample of a model of three graphs. */
export class DecoderSample implements PreparedSample {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly imagePlayers: ImagePlayers;
  readonly textPlayers: TextPlayers;
  readonly answer: Answer;
  readonly views: readonly RgbImage[];
  readonly #parts: VlmParts;
  readonly #inputs: PreparedInputs;
  readonly #evaluator = new Once<CoalitionEvaluator>();

  constructor(parts: VlmParts, inputs: PreparedInputs) {
    this.image = inputs.image;
    this.question = inputs.question;
    this.prompt = inputs.prompt.text;
    this.imagePlayers = inputs.encoding.players;
    this.textPlayers = inputs.prompt.players;
    this.answer = inputs.answer;
    this.views = inputs.encoding.views;
    this.#parts = parts;
    this.#inputs = inputs;
  }

  async evaluate(cells: CellTable, options?: EvaluateOptions): Promise<EvaluatedCells> {
    return (await this.evaluator()).evaluate(cells, options);
  }

  async plan(cells: CellTable): Promise<EvaluationPlan> {
    return (await this.evaluator()).plan(cells);
  }

  /** This sample as the native evaluator takes it. */
  program(): EvaluatorProgram {
    return evaluatorProgram(this.#parts, this.#inputs);
  }

  /** The native evaluator of this sample, made on first use. */
  evaluator(): Promise<CoalitionEvaluator> {
    const { workers, memory } = this.#parts;
    return this.#evaluator.get(() => CoalitionEvaluator.create(this.program(), { workers, memory }));
  }

  /**
   * Scores cells the simple way: one full pass per cell, alone in its run; no shared prefix, each image state
   * encoded once by itself, nothing stored. The reference that faster evaluators are tested against.
   */
  async evaluatePlainly(cells: CellTable, given?: EvaluateOptions): Promise<CellScores> {
    const options = resolveEvaluateOptions(given);
    cells.requirePlayers(this.imagePlayers.count, this.textPlayers.count);
    const { scored } = this.#inputs;
    const scores = new Float64Array(cells.cellCount * scored);
    let done = 0;
    for (const [imageState, members] of cells.byImage()) {
      const features = await this.#features(cells.imagePresence(imageState), options.signal);
      for (const cell of members) {
        const text = cells.textPresence(cells.textOf(cell));
        scores.set(await this.#score(features, text, options.signal), cell * scored);
        options.onProgress?.(++done, cells.cellCount);
      }
    }
    return { logProbabilities: scores, tokens: scored, decision: this.answer.decisionIndex };
  }

  /** Prompt and answer up to the last token that predicts a scored one. */
  #sequence(): Int32Array {
    const { prompt, answer, scored } = this.#inputs;
    const ids = new Int32Array(prompt.ids.length + scored - 1);
    ids.set(prompt.ids);
    ids.set(answer.tokenIds.subarray(0, scored - 1), prompt.ids.length);
    return ids;
  }

  async #features(present: Uint8Array, signal: AbortSignal | undefined): Promise<ImageFeatures> {
    const { encoding, baselinePixels } = this.#inputs;
    const pixels = maskPixels(encoding.pixels, baselinePixels, encoding.pixelPlayers, present);
    return this.#parts.vision.run(encoding, pixels, signal);
  }

  /** Log-probabilities of the scored tokens for a text state on an image state. */
  async #score(
    features: ImageFeatures,
    text: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Float64Array> {
    const { prompt, answer, scored, padTokenId, textMasking, encoding, removal } = this.#inputs;
    const { architecture, embed, decoder } = this.#parts;
    const ids = this.#sequence();
    const masked = maskTokens(ids, this.textPlayers.positions, text, padTokenId, textMasking);
    const tokens = await embed.run(masked.ids, signal);
    const pass = {
      batch: 1,
      length: ids.length,
      embeds: sequenceEmbeds(tokens.values, tokens.hidden, features, prompt.imagePositions),
      mask: Int32Array.from(masked.attention),
      positions: architecture.positions(ids, prompt.imagePositions, encoding),
      rows: scored,
    };
    const run = removal === 'leave-out' ? leaveOut(pass) : pass;
    const { logits, vocabulary } = await decoder.run(run, undefined, false, signal);
    return Float64Array.from({ length: scored }, (_, row) =>
      logSoftmaxAt(logits, vocabulary, row, answer.tokenIds[row]),
    );
  }

  /** All floating inputs in float32, half-precision exports' too: explainers widen their graphs. */
  get whiteBox(): WhiteBox {
    const { architecture, vision, embed, decoder } = this.#parts;
    // Explainers open sessions of their own, which would go on.
    if (decoder.graph.session.disposed) throw new FsynError('DISPOSED', 'The model has been disposed.');
    const { prompt, encoding, answer, baselinePixels, padTokenId } = this.#inputs;
    const tokenIds = new Int32Array(prompt.ids.length + answer.tokenIds.length);
    tokenIds.set(prompt.ids);
    tokenIds.set(answer.tokenIds, prompt.ids.length);
    const positions = architecture.positions(tokenIds, prompt.imagePositions, encoding);
    return {
      visionModel: vision.graph.path,
      embedModel: embed.graph.path,
      decoderModel: decoder.graph.path,
      visionFeeds: widened(vision.feeds(encoding, encoding.pixels)),
      pixelInput: architecture.pixelInput,
      featureOutput: vision.featureOutput,
      tokenIds,
      promptLength: prompt.ids.length,
      decisionPosition: prompt.ids.length + answer.decisionIndex,
      imagePositions: prompt.imagePositions,
      textPositions: prompt.players.positions,
      padTokenId,
      featurePlayers: encoding.featurePlayers,
      visionTokenPlayers: encoding.visionTokenPlayers,
      pixelPlayers: encoding.pixelPlayers,
      baselinePixels: ndarray(baselinePixels, [...encoding.pixelShape]),
      decoderFeeds(length: number): Record<string, ModelFeed> {
        checkInteger('length', length, 1, tokenIds.length);
        const mask = new Int32Array(length).fill(1);
        return widened(decoder.whiteBoxFeeds(mask, firstColumns(positions, tokenIds.length, length)));
      },
    };
  }
}

/** The same feeds with half-precision values as float32. */
function widened(feeds: Record<string, TensorArray | ModelFeed>): Record<string, ModelFeed> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, feed]) => {
      if (!(feed.data instanceof Uint16Array)) return [name, feed as ModelFeed];
      return [name, ndarray(fromHalfArray(feed.data), feed.shape)];
    }),
  );
}

/** Token embeddings [length, hidden] with the image features in the image tokens' places. */
export function sequenceEmbeds(
  tokens: Float32Array,
  hidden: number,
  features: ImageFeatures,
  imagePositions: Int32Array,
): Float32Array {
  if (features.hidden !== hidden) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `The image features have ${features.hidden} values each but the token embeddings ${hidden}.`,
    );
  }
  const merged = tokens.slice();
  for (let i = 0; i < features.count; i++) {
    merged.set(features.values.subarray(i * hidden, (i + 1) * hidden), imagePositions[i] * hidden);
  }
  return merged;
}
