import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import { toNdArray } from '../../inference/tensor.js';
import { EXPORTED } from '../../onnx/exported.js';
import { TappedModel } from '../../onnx/index.js';
import type { ModelFeed, WhiteBox } from '../../vlm/types.js';
import { repeatedFeeds } from './batch.js';
import { floats } from './results.js';
import { type ModelSessions, sessionsOf } from './sessions.js';

/** What a sample feeds into its graphs; what is computed of it is the chain's. */
export class ChainInputs {
  readonly whiteBox: WhiteBox;
  /** Number of tokens before the decision token: the decoder's input. */
  readonly length: number;
  readonly targetToken: number;

  protected constructor(whiteBox: WhiteBox) {
    this.whiteBox = whiteBox;
    this.length = whiteBox.decisionPosition;
    this.targetToken = whiteBox.tokenIds[whiteBox.decisionPosition];
  }

  protected get sessions(): ModelSessions {
    return sessionsOf(this.whiteBox);
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
    return this.whiteBox.visionFeeds[this.whiteBox.pixelInput];
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
    const shaped = toNdArray(embeddings, [count, length, embeddings.length / length / count]);
    return { ...this.decoderInputs(length, count), [EXPORTED.embeddings]: shaped };
  }

  /** The decoder's other inputs, for `count` equal sequences. */
  decoderInputs(length = this.length, count = 1): Record<string, TensorValue> {
    return repeatedFeeds(this.whiteBox.decoderFeeds(length), count) as unknown as Record<string, TensorValue>;
  }

  /**
   * Checks that there is one feature for each place of the image.
   *
   * @throws FsynError `MODEL_CONTRACT`
   */
  requireFeatures(values: number, hidden: number): void {
    const { imagePositions, visionModel } = this.whiteBox;
    if (values === imagePositions.length * hidden) return;
    const message = `${visionModel}: ${values} feature values for ${imagePositions.length} places of ${hidden}.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }

  /** Embeddings of tokens, [tokens, hidden], before the merge. */
  async embed(tokenIds: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const ids = toNdArray(BigInt64Array.from(tokenIds, BigInt), [1, tokenIds.length]);
    const { values } = await this.sessions.use(
      'embed',
      () => TappedModel.load(this.whiteBox.embedModel, { tensors: [EXPORTED.embeddings] }),
      (model) => model.run({ [EXPORTED.tokens]: ids }, { signal }),
    );
    return floats(values[EXPORTED.embeddings]);
  }

  /** The embedding of the token that stands for an absent text player, [hidden]. */
  padEmbedding(): Promise<Float32Array> {
    const { padTokenId } = this.whiteBox;
    return this.sessions.remember(`embedding of ${padTokenId}`, () => this.embed(Int32Array.of(padTokenId)));
  }

  /** Embeddings of the tokens before the decision token, [length, hidden]. */
  embedInput(signal?: AbortSignal): Promise<Float32Array> {
    return this.embed(this.whiteBox.tokenIds.subarray(0, this.length), signal);
  }

  /**
   * The sequence that the decoder sees before the decision token, [length, hidden]: image features in the
   * image's places of the text's embeddings.
   *
   * @throws FsynError `MODEL_CONTRACT` for another number of features
   */
  merged(features: Float32Array, text: Float32Array): Float32Array {
    const merged = text.slice();
    const hidden = merged.length / this.length;
    this.requireFeatures(features.length, hidden);
    for (const [i, position] of this.whiteBox.imagePositions.entries()) {
      merged.set(features.subarray(i * hidden, (i + 1) * hidden), position * hidden);
    }
    return merged;
  }

  /**
   * Of rows of the sequence, [length, hidden], those of the image's places: what `merged` put there, or its
   * gradient.
   */
  imageRows(rows: Float32Array): Float32Array {
    const { imagePositions } = this.whiteBox;
    const hidden = rows.length / this.length;
    const image = new Float32Array(imagePositions.length * hidden);
    for (const [i, position] of imagePositions.entries()) {
      image.set(rows.subarray(position * hidden, (position + 1) * hidden), i * hidden);
    }
    return image;
  }
}
