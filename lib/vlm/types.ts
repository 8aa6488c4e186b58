import type { NdArray } from 'ndarray';
import type { CellScores, EvaluateOptions } from '../cells/scores.js';
import type { CellTable } from '../cells/table.js';
import type { EvaluationPlan } from '../inference/plan.js';

/** An RGB image: ndarray of shape [height, width, 3], values 0..255, row-major and contiguous. */
export type RgbImage = NdArray<Uint8Array>;

/**
 * The image players of a prepared sample: cells of the visual-token grid, row-major within a tile, tiles in
 * order.
 */
export interface ImagePlayers {
  readonly count: number;
  readonly rows: number;
  readonly columns: number;
  readonly tiles: number;
  /**
   * `[count, 4]`: x0, y0, x1, y1 of each cell in pixels of the original image (may exceed it where the model
   * pads).
   */
  readonly boxes: Float64Array;
}

export type TextPlayerKind = 'question' | 'instruction' | 'template';

/** The text players of a prepared sample: tokens of the prompt, in prompt order. */
export interface TextPlayers {
  readonly count: number;
  /** What a person reads for each token. */
  readonly labels: readonly string[];
  readonly kinds: readonly TextPlayerKind[];
  /** `[count, 2]`: half-open character range of each token in the question; -1, -1 outside the question. */
  readonly spans: Int32Array;
  /** Position of each player in the prompt's token sequence (image placeholder counted as one token each). */
  readonly positions: Int32Array;
}

/** `similarity`: a dual encoder, which answers nothing and says how well a caption fits. */
export type DecisionKind = 'yes-no' | 'choice' | 'content' | 'similarity';

/** What an answer decides, and the token that carries it. */
export interface Decision {
  /** Index of the token with the first letter or digit of the decision. */
  readonly index: number;
  readonly kind: DecisionKind;
  /** The word, number or letter that decides, whole: it may be spelled by several tokens. */
  readonly text: string;
}

/** `words`: whole words and letters decide; `published`: single tokens do, as in the published code. */
export type DecisionRule = 'words' | 'published';

/** The answer that the model gave on the full input, and the token that carries the decision. */
export interface Answer {
  readonly text: string;
  readonly tokenIds: Int32Array;
  readonly tokens: readonly string[];
  readonly decisionIndex: number;
  readonly decisionKind: DecisionKind;
  readonly decisionToken: string;
  /** The word, number or letter that decides, whole, where the decision token may be its first piece only. */
  readonly decision: string;
}

/** A model input: float32, int64 and bool tensors travel as these typed arrays, row-major. */
export type ModelFeed = NdArray<Float32Array> | NdArray<BigInt64Array<ArrayBuffer>> | NdArray<Uint8Array>;

/**
 * The model files behind a sample and what they were fed with, for explainers that look inside.
 *
 * The model is three graphs in a chain: vision tower with its projector, token embedding, decoder. In
 * between, row i of the image features (flattened to [features, hidden]) replaces the embedding at
 * `imagePositions[i]`.
 */
export interface WhiteBox {
  /** Paths of the .onnx files. */
  readonly visionModel: string;
  readonly embedModel: string;
  readonly decoderModel: string;
  /** Every input of the vision graph by name; one of them is `pixelInput`. */
  readonly visionFeeds: Readonly<Record<string, ModelFeed>>;
  readonly pixelInput: string;
  /** Output of the vision graph that carries the image features. */
  readonly featureOutput: string;
  /**
   * The prompt with one placeholder token per image feature, followed by the answer. Shape [promptLength +
   * answer].
   */
  readonly tokenIds: Int32Array;
  readonly promptLength: number;
  /** Index of the decision token in `tokenIds`; row `decisionPosition - 1` of the logits predicts it. */
  readonly decisionPosition: number;
  /** Position in `tokenIds` of every image feature, in feature order. Shape [features]. */
  readonly imagePositions: Int32Array;
  /** Position in `tokenIds` of every text player. Shape [text players]. */
  readonly textPositions: Int32Array;
  /** The token that stands for an absent text player. */
  readonly padTokenId: number;
  /** Image player of every feature, -1 for none. Shape [features]. */
  readonly featurePlayers: Int32Array;
  /**
   * Image player of every token in the vision tower's attention, -1 for class tokens. Shape [vision tokens].
   */
  readonly visionTokenPlayers: Int32Array;
  /** Image player of every element of the pixel input, row-major, -1 for none. Shape [elements]. */
  readonly pixelPlayers: Int32Array;
  /** The pixel input with every image player absent: same shape as the pixel input. */
  readonly baselinePixels: NdArray<Float32Array>;
  /**
   * Every input of the decoder except `inputs_embeds` for the first `length` tokens: mask, positions, empty
   * cache.
   */
  decoderFeeds(length: number): Readonly<Record<string, ModelFeed>>;
}

/** One (image, question) pair on one model, ready to be scored on any coalition of its players. */
export interface PreparedSample {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: string;
  readonly imagePlayers: ImagePlayers;
  readonly textPlayers: TextPlayers;
  readonly answer: Answer;
  /**
   * The picture as the model sees it before normalisation: oriented, resized, cropped, one for each tile; 8
   * bit.
   */
  readonly views?: readonly RgbImage[];
  /**
   * Absent where the model's files cannot be opened up (several images per row, merged single graphs).
   * @throws FsynError DISPOSED after the model was
   */
  readonly whiteBox?: WhiteBox;
  /**
   * What scoring these cells would take, without scoring them; a new decoder is tried on a few passes first.
   * Absent where every cell is one run of the model.
   */
  plan?(cells: CellTable): Promise<EvaluationPlan>;
  /** Scores every cell of the table; rejects with the signal's reason when aborted. */
  evaluate(cells: CellTable, options?: EvaluateOptions): Promise<CellScores>;
  /**
   * The same, each cell by a full pass alone in its run and nothing shared: what `evaluate` is measured
   * against.
   */
  evaluatePlainly?(cells: CellTable, options?: EvaluateOptions): Promise<CellScores>;
}

/** How far a model's scores on another provider are from those of the processor. */
export interface ProviderCheck {
  readonly providers: readonly string[];
  readonly cells: number;
  /** Largest difference of a log-probability, or of a cosine. */
  readonly largest: number;
  /** The most that is accepted. */
  readonly bound: number;
}

/** One token of a completion. */
export interface CompletedToken {
  readonly id: number;
  readonly text: string;
  /** Natural log-probabilities of all tokens at this place, before any penalty. Shape [vocabulary]. */
  readonly logProbabilities: Float32Array;
}

/** A greedily continued prompt. */
export interface Completion {
  readonly tokens: readonly CompletedToken[];
  readonly promptTokens: number;
  /** Tokens of the prompt that stand for the image. */
  readonly imageTokens: number;
  /** Whether the model ended by itself. */
  readonly stopped: boolean;
}

export interface CompleteOptions {
  /** The begin of the answer, which is continued. Default: none. */
  readonly prefill: string;
  readonly maxNewTokens: number;
  readonly signal: AbortSignal | undefined;
}

/** A loaded vision-language model. */
export interface Vlm {
  readonly name: string;
  readonly architecture: string;
  /** Content hashes of the files that decide its behaviour, for provenance. */
  readonly fingerprint: string;
  /**
   * What was found when the scores on another provider than the processor were compared with the processor's.
   */
  readonly providerCheck?: ProviderCheck;
  /** A question that the model can read, where it knows few words. */
  readonly readableQuestion?: string;
  prepare(image: RgbImage, question: string, options?: PrepareOptions): Promise<PreparedSample>;
  /**
   * Continues the prompt of a picture and a text, with the log-probabilities of every step. Absent where a
   * model does not write, as dual encoders and classifiers.
   */
  complete?(image: RgbImage, text: string, options?: Partial<CompleteOptions>): Promise<Completion>;
  /**
   * Token ids of a text as it stands, without tokens that begin or end a sequence. Absent as `complete` is.
   */
  tokenize?(text: string): readonly number[];
  /** What a token reads. Absent as `complete` is. */
  tokenText?(id: number): string;
  dispose(): void;
}

export type BaselineKind = 'blur' | 'mean' | 'noise';

export interface PrepareOptions {
  /** What an absent image player is replaced with. `blur` is a Gaussian blur of the whole original image. */
  readonly baseline?: BaselineKind;
  /**
   * Gaussian radius: pixels of the original image when `blurUnit` is `pixels`, else a fraction of its longer
   * side.
   */
  readonly blurRadius?: number;
  readonly blurUnit?: 'pixels' | 'relative';
  readonly noiseSeed?: number;
  /**
   * `remove`: an absent token is padded and taken out of attention, positions kept; `attend`: the pad stays
   * attended. Default: `remove`, for SigLIP `attend`.
   */
  readonly textMasking?: 'remove' | 'attend';
  /** Which tokens are players besides the question's own. */
  readonly includeInstruction?: boolean;
  readonly includeTemplate?: boolean;
  /** Text appended to the question (an answer format); its tokens are of kind `instruction`. */
  readonly instruction?: string;
  /** Choice letters that the answer may take; decides the decision token of multiple-choice questions. */
  readonly choices?: readonly string[];
  /** How the deciding word is found. Default: `words`. */
  readonly decisionRule?: DecisionRule;
  /** Score answer tokens up to the decision token (`decision`) or all of them (`all`). */
  readonly answerTokens?: 'decision' | 'all';
  /** A given answer instead of the generated one. */
  readonly answer?: string;
  readonly maxNewTokens?: number;
  readonly signal?: AbortSignal;
}
