import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import { type Gamma, type Mode, SplitModel, selectLogits, TappedModel } from '../../onnx/index.js';
import { prepareModel } from '../../onnx/prepare.js';
import type { ModelFeed, PreparedSample, WhiteBox } from '../../vlm/types.js';
import { concatenated, parts, repeatedFeeds, sameGradients } from './batch.js';
import { passOptions, signalOption } from './memory.js';
import type { ChainOptions, ChainPoint, ChainResult, DecoderResult } from './results.js';
import { type ModelSessions, sessionsOf } from './sessions.js';
import { type Explained, explainedOf } from './target.js';

export { limitWhiteBoxMemory } from './memory.js';
export type { ChainOptions, ChainPoint, ChainResult, DecoderResult } from './results.js';
export { releaseWhiteBoxSessions } from './sessions.js';
export type { Target } from './target.js';

/** Tokens per run at which matrix products are efficient, as the evaluator has it; more only costs memory. */
const BATCH_TOKENS = 512;

/** The graphs behind a sample, chained: pixels -> vision tower and projector -> merge -> decoder -> one logit. */
export class WhiteBoxChain {
  readonly whiteBox: WhiteBox;
  /** Number of tokens before the decision token: the decoder's input. */
  readonly length: number;
  readonly targetToken: number;
  readonly #sessions: ModelSessions;

  private constructor(whiteBox: WhiteBox) {
    this.whiteBox = whiteBox;
    this.length = whiteBox.decisionPosition;
    this.targetToken = whiteBox.tokenIds[whiteBox.decisionPosition] as number;
    this.#sessions = sessionsOf(whiteBox);
  }

  /**
   * Opens the chain of a sample.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the sample does not show its model files
   */
  static of(sample: PreparedSample, explainer: string): WhiteBoxChain {
    if (!sample.whiteBox) {
      const message = `${explainer} looks inside a vision tower and a decoder; this model has no such pair or does not show it.`;
      throw new FsynError('UNSUPPORTED_MODEL', message);
    }
    return new WhiteBoxChain(sample.whiteBox);
  }

  /** Shape of the pixel input. */
  get pixelShape(): readonly number[] {
    return this.#pixelFeed().shape;
  }

  /** A copy of the pixel input. */
  pixels(): Float32Array {
    return Float32Array.from(this.#pixelFeed().data as Float32Array);
  }

  #pixelFeed(): ModelFeed {
    return this.whiteBox.visionFeeds[this.whiteBox.pixelInput] as ModelFeed;
  }

  visionFeeds(pixels = this.pixels()): Record<string, TensorValue> {
    const [first, ...rest] = this.pixelShape as [number, ...number[]];
    const size = rest.reduce((product, extent) => product * extent, first);
    const shaped = ndarray(pixels, [(first * pixels.length) / size, ...rest]);
    return { ...this.whiteBox.visionFeeds, [this.whiteBox.pixelInput]: shaped } as Record<
      string,
      TensorValue
    >;
  }

  decoderFeeds(embeddings: Float32Array, length = this.length, count = 1): Record<string, TensorValue> {
    const shaped = ndarray(embeddings, [count, length, embeddings.length / length / count]);
    const feeds = repeatedFeeds(this.whiteBox.decoderFeeds(length), count);
    return { ...feeds, inputs_embeds: shaped } as Record<string, TensorValue>;
  }

  /** Embeddings of tokens, [tokens, hidden], before the merge. */
  async embed(tokenIds: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const model = await this.#sessions.get('embed', () =>
      TappedModel.load(this.whiteBox.embedModel, { tensors: ['inputs_embeds'] }),
    );
    const ids = ndarray(BigInt64Array.from(tokenIds, BigInt), [1, tokenIds.length]) as unknown as TensorValue;
    const { values } = await model.run({ input_ids: ids }, signalOption(signal));
    return floats(values.inputs_embeds);
  }

  /** The sequence that the decoder sees before the decision token, with the image features in their places. */
  async merged(
    features: Float32Array,
    tokenEmbeddings?: Float32Array,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { imagePositions, tokenIds } = this.whiteBox;
    const text = tokenEmbeddings ?? (await this.embed(tokenIds.subarray(0, this.length), signal));
    const merged = text.slice();
    const hidden = merged.length / this.length;
    if (features.length !== imagePositions.length * hidden) {
      const message = `${this.whiteBox.visionModel}: ${features.length} feature values for ${imagePositions.length} places of ${hidden}.`;
      throw new FsynError('MODEL_CONTRACT', message);
    }
    for (const [i, position] of imagePositions.entries()) {
      merged.set(features.subarray(i * hidden, (i + 1) * hidden), position * hidden);
    }
    return merged;
  }

  /** One forward and one backward pass through the whole chain. */
  async gradients(options: ChainOptions & ChainPoint = {}): Promise<ChainResult> {
    const [result] = await this.#pass([options], options);
    return result as ChainResult;
  }

  /**
   * `gradients` at many points: several in one run where the graphs take batches and one point is too short to keep the
   * processor busy, else one after the other. The values are those of single runs; inner tensors are not given.
   */
  async gradientsAt(
    points: readonly ChainPoint[],
    options: ChainOptions & { readonly batch?: number | undefined } = {},
  ): Promise<ChainResult[]> {
    const { batch, ...rest } = options;
    const most = batch ?? Math.max(1, Math.floor(BATCH_TOKENS / this.length));
    const size = most > 1 && points.length > 1 && (await this.#takesBatches(points, rest)) ? most : 1;
    const results: ChainResult[] = [];
    for (let at = 0; at < points.length; at += size) {
      results.push(...(await this.#pass(points.slice(at, at + size), rest)));
    }
    return results;
  }

  /** Whether a batch gives what single runs give; tried once per model, because exports may have the batch size built in. */
  async #takesBatches(points: readonly ChainPoint[], options: ChainOptions): Promise<boolean> {
    const pair = [points[0] as ChainPoint, points.at(-1) as ChainPoint];
    const decoderOnly = pair[0]?.features !== undefined;
    // Other inputs of the vision graph describe the one image that there is.
    const single = this.pixelShape.length !== 4 || Object.keys(this.whiteBox.visionFeeds).length > 1;
    if (single && !decoderOnly) return false;
    return this.#sessions.decide(`batches ${options.mode} ${decoderOnly}`, async () => {
      try {
        const together = await this.#pass(pair, options);
        for (const [i, point] of pair.entries()) {
          const [alone] = await this.#pass([point], options);
          if (!sameGradients(together[i] as ChainResult, alone as ChainResult)) return false;
        }
        return true;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (error instanceof FsynError && error.code !== 'DISPOSED') return false;
        throw error;
      }
    });
  }

  /** One forward and one backward pass for all points together. */
  async #pass(points: readonly ChainPoint[], options: ChainOptions): Promise<ChainResult[]> {
    const { mode = 'grad', attentions = false, visionTensors = [], signal } = options;
    if (points[0]?.features) {
      const features = points.map((point) => point.features as Float32Array);
      const decoded = await this.#decode(points, features, options);
      const none = new Float32Array(0);
      const absent = { pixels: none, pixelGradient: none, visionValues: {}, visionGradients: {} };
      return decoded.map((part) => ({ ...part, ...absent }));
    }
    const pixels = points.map((point) => point.pixels ?? this.pixels());
    const vision = await this.#vision(mode, attentions, visionTensors, options.visionGamma);
    const pass = await vision.forward(this.visionFeeds(concatenated(pixels)), passOptions(signal));
    try {
      const features = parts(floats(pass.output), points.length);
      const decoded = await this.#decode(points, features, options);
      const cotangents = concatenated(decoded.map(({ featureGradient }) => featureGradient));
      const cotangent = ndarray(cotangents, [...pass.output.shape]) as TensorValue;
      const visionGradients = await pass.backward(cotangent, signalOption(signal));
      const gradients = parts(floats(visionGradients[this.whiteBox.pixelInput]), points.length);
      return decoded.map((part, i) => ({
        ...part,
        pixels: pixels[i] as Float32Array,
        pixelGradient: gradients[i] as Float32Array,
        visionValues: pass.values,
        visionGradients,
      }));
    } finally {
      pass.dispose();
    }
  }

  /** One forward and one backward pass of the decoder for all points together. */
  async #decode(
    points: readonly ChainPoint[],
    features: readonly Float32Array[],
    options: ChainOptions,
  ): Promise<DecoderResult[]> {
    const { mode = 'grad', attentions = false, decoderTensors = [], signal } = options;
    const decoder = await this.#decoder(mode, attentions, decoderTensors);
    const count = points.length;
    const embeddings: Float32Array[] = [];
    for (const [i, { tokenEmbeddings }] of points.entries()) {
      embeddings.push(await this.merged(features[i] as Float32Array, tokenEmbeddings, signal));
    }
    const hidden = (embeddings[0] as Float32Array).length / this.length;
    const feeds = this.decoderFeeds(concatenated(embeddings), this.length, count);
    const rows = { ...feeds, logit_positions: int64(this.length - 1) };
    const read = await decoder.forward(rows, passOptions(signal));
    try {
      const logits = parts(floats(read.output), count);
      const rivals = logits.map((row) => this.#rival(row, options));
      const targets = logits.map((row, i) => explainedOf(row, this.#token(row), rivals[i], options.target));
      const seeds = concatenated(targets.map(({ seed }) => seed));
      const seed = ndarray(seeds, [...read.output.shape]) as TensorValue;
      const decoderGradients = await read.backward(seed, signalOption(signal));
      return parts(floats(decoderGradients.inputs_embeds), count).map((embeddingGradient, i) => ({
        explained: (targets[i] as Explained).value,
        rival: rivals[i],
        embeddings: embeddings[i] as Float32Array,
        embeddingGradient,
        features: features[i] as Float32Array,
        featureGradient: this.#featureRows(embeddingGradient, hidden),
        hidden,
        decoderValues: read.values,
        decoderGradients,
      }));
    } finally {
      read.dispose();
    }
  }

  /** The decision token, checked against a row of logits. */
  #token(row: Float32Array): number {
    if (this.targetToken >= row.length) {
      const message = `The decision token ${this.targetToken} is outside the ${row.length} words of ${this.whiteBox.decoderModel}.`;
      throw new FsynError('MODEL_CONTRACT', message);
    }
    return this.targetToken;
  }

  /** The largest logit besides the decision token's, ties to the lower index; none for other targets than `contrast`. */
  #rival(row: Float32Array, { target, rival }: ChainOptions): number | undefined {
    if (target !== 'contrast') return undefined;
    if (rival !== undefined) return rival;
    let best = this.targetToken === 0 ? 1 : 0;
    for (const [token, logit] of row.entries()) {
      if (token !== this.targetToken && logit > (row[best] as number)) best = token;
    }
    return best;
  }

  #featureRows(gradient: Float32Array, hidden: number): Float32Array {
    const rows = new Float32Array(this.whiteBox.imagePositions.length * hidden);
    for (const [i, position] of this.whiteBox.imagePositions.entries()) {
      rows.set(gradient.subarray(position * hidden, (position + 1) * hidden), i * hidden);
    }
    return rows;
  }

  #vision(mode: Mode, attentions: boolean, tensors: readonly string[], gamma?: Gamma): Promise<SplitModel> {
    const { visionModel, featureOutput, pixelInput } = this.whiteBox;
    const wrt = [pixelInput, ...tensors];
    const options = {
      output: featureOutput,
      wrt,
      expose: tensors,
      mode,
      attentions,
      ...(gamma ? { gamma } : {}),
      probe: this.#visionProbes(),
      // The decoder's pass needs memory while this one is kept.
      share: 0.5,
    };
    const key = `vision ${mode} ${JSON.stringify(gamma)} ${attentions} ${tensors.join()}`;
    return this.#sessions.get(key, () => SplitModel.load(visionModel, options));
  }

  /** A batch of two where the export takes one, because sizes above 1 are unambiguous; else the sample's own inputs. */
  #visionProbes(): Record<string, TensorValue>[] {
    const own = this.visionFeeds();
    const [batch, ...rest] = this.pixelShape;
    if (batch !== 1 || rest.length !== 3) return [own];
    const single = this.pixels();
    const twice = new Float32Array(single.length * 2);
    twice.set(single);
    twice.set(single, single.length);
    return [{ ...own, [this.whiteBox.pixelInput]: ndarray(twice, [2, ...rest]) as TensorValue }, own];
  }

  #decoder(mode: Mode, attentions: boolean, tensors: readonly string[]): Promise<SplitModel> {
    const options = {
      output: 'logits',
      wrt: ['inputs_embeds', ...tensors],
      expose: tensors,
      mode,
      attentions,
    };
    const { decoderModel } = this.whiteBox;
    return this.#sessions.get(`decoder ${mode} ${attentions} ${tensors.join()}`, async () => {
      const model = await prepareModel(decoderModel);
      selectLogits(model, { rows: 'logit_positions' });
      return SplitModel.load(model, options);
    });
  }

  /**
   * Names of the residual stream behind every transformer block: of the vision tower up to the features, of the decoder.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the blocks of a graph are not recognised
   */
  async blockOutputs(): Promise<{ vision: readonly string[]; decoder: readonly string[] }> {
    const { visionModel, decoderModel, featureOutput } = this.whiteBox;
    return {
      vision: await this.#sessions.blockOutputs(visionModel, featureOutput),
      decoder: await this.#sessions.blockOutputs(decoderModel, 'logits'),
    };
  }

  /** Names of the attention probabilities of both parts, in block order: those that `gradients` gives with `attentions`. */
  async attentionNames(): Promise<{ vision: readonly string[]; decoder: readonly string[] }> {
    const [vision, decoder] = [await this.#vision('grad', true, []), await this.#decoder('grad', true, [])];
    const names = (model: SplitModel) => model.blocks.map((block) => block.attention);
    return { vision: names(vision), decoder: names(decoder) };
  }

  /** Forward only: the features, and the attention probabilities of both parts. */
  async attentions(signal?: AbortSignal): Promise<{ vision: TensorValue[]; decoder: TensorValue[] }> {
    const { visionModel, decoderModel, featureOutput } = this.whiteBox;
    const vision = await this.#sessions.get('vision attentions', () =>
      TappedModel.load(visionModel, { tensors: [featureOutput], attentions: true }),
    );
    const decoder = await this.#sessions.get('decoder attentions', () =>
      TappedModel.load(decoderModel, { attentions: true }),
    );
    const seen = await vision.run(this.visionFeeds(), signalOption(signal));
    const embeddings = await this.merged(floats(seen.values[featureOutput]), undefined, signal);
    const read = await decoder.run(this.decoderFeeds(embeddings), signalOption(signal));
    return { vision: seen.attentions, decoder: read.attentions };
  }

  /** Forward only: logits of chosen tokens at every position before the decision token, [length, tokens]. */
  async tokenLogits(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const { visionModel, decoderModel, featureOutput } = this.whiteBox;
    const vision = await this.#sessions.get('vision features', () =>
      TappedModel.load(visionModel, { tensors: [featureOutput] }),
    );
    const decoder = await this.#sessions.get('decoder columns', () =>
      TappedModel.load(decoderModel, { logitColumns: true }),
    );
    const seen = await vision.run(this.visionFeeds(), signalOption(signal));
    const embeddings = await this.merged(floats(seen.values[featureOutput]), undefined, signal);
    const columns = ndarray(BigInt64Array.from(tokens, BigInt), [tokens.length]) as unknown as TensorValue;
    const feeds = { ...this.decoderFeeds(embeddings), logit_tokens: columns };
    const { values } = await decoder.run(feeds, signalOption(signal));
    return floats(values.logits);
  }
}

/** Values of a float32 tensor in JavaScript memory. */
export function floats(tensor: TensorValue | undefined): Float32Array {
  if (!tensor || !('data' in tensor) || !(tensor.data instanceof Float32Array)) {
    throw new FsynError(
      'MODEL_CONTRACT',
      'The model gives a tensor that is not float32 where explainers need one.',
    );
  }
  return tensor.data;
}

function int64(value: number): TensorValue {
  return ndarray(BigInt64Array.of(BigInt(value)), [1]) as unknown as TensorValue;
}
