import { FsynError } from '../../errors.js';
import { TARGET_TOKENS } from '../../inference/batches.js';
import { toNdArray } from '../../inference/tensor.js';
import { EXPORTED } from '../../onnx/exported.js';
import { TappedModel } from '../../onnx/index.js';
import { int64Feed } from '../../onnx/types.js';
import type { PreparedSample } from '../../vlm/types.js';
import { sameGradients } from './batch.js';
import { MappedModel } from './head-maps.js';
import { ChainInputs } from './inputs.js';
import { pass } from './passes.js';
import { type ChainOptions, type ChainPoint, type ChainResult, floats, type LayerMap } from './results.js';

export { limitWhiteBoxMemory } from './memory.js';
export {
  type ChainOptions,
  type ChainPoint,
  type ChainResult,
  type DecoderResult,
  floats,
  type LayerMap,
} from './results.js';
export { releaseWhiteBoxSessions } from './sessions.js';
export type { Target } from './target.js';

/**
 * The graphs behind a sample, chained: pixels -> vision tower and projector -> merge -> decoder -> one logit.
 */
export class WhiteBoxChain extends ChainInputs {
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

  /** One forward and one backward pass through the whole chain. */
  async gradients(options: ChainOptions & ChainPoint = {}): Promise<ChainResult> {
    const [result] = await pass(this, this.sessions, [options], options);
    return result;
  }

  /**
   * `gradients` at many points: several in one run where the graphs take batches and one point is too short
   * to keep the processor busy, else one after the other. The values are those of single runs; inner tensors
   * are not given.
   */
  async gradientsAt(
    points: readonly ChainPoint[],
    options: Omit<ChainOptions, 'attentionMaps'> & { readonly batch?: number | undefined } = {},
  ): Promise<ChainResult[]> {
    const { batch, ...rest } = options;
    const most = batch ?? Math.max(1, Math.floor(TARGET_TOKENS / this.length));
    const size = await this.#batchSize(Math.min(most, points.length), points, rest);
    const results: ChainResult[] = [];
    for (let at = 0; at < points.length; at += size) {
      results.push(...(await pass(this, this.sessions, points.slice(at, at + size), rest)));
    }
    return results;
  }

  /**
   * The points to run together: as many as wanted, where that gives what single runs give, else one. Every
   * size is tried once per model, on different points, because exports may have the batch size built in or
   * let the rows of a batch meet.
   */
  async #batchSize(wanted: number, points: readonly ChainPoint[], options: ChainOptions): Promise<number> {
    const decoderOnly = points[0]?.features !== undefined;
    // Other inputs of the vision graph describe the one image that there is.
    const single = this.pixelShape.length !== 4 || Object.keys(this.whiteBox.visionFeeds).length > 1;
    if (wanted < 2 || (single && !decoderOnly)) return 1;
    const takes = await this.sessions.remember(`batches ${options.mode} ${decoderOnly} ${wanted}`, () =>
      this.#takesBatch(wanted, points, options),
    );
    return takes ? wanted : 1;
  }

  async #takesBatch(size: number, points: readonly ChainPoint[], options: ChainOptions): Promise<boolean> {
    const last = points.length - 1;
    const spread = Array.from({ length: size }, (_, i) => points[Math.round((i * last) / (size - 1))]);
    try {
      const together = await pass(this, this.sessions, spread, options);
      const tried = [...new Set([0, size >> 1, size - 1])];
      const alone: ChainResult[] = [];
      for (const i of tried) alone.push(...(await pass(this, this.sessions, [spread[i]], options)));
      const same = tried.every((row, i) => sameGradients(together[row], alone[i]));
      // Equal points cannot show that rows meet.
      return same && !sameGradients(alone[0], alone[alone.length - 1]);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof FsynError && error.code !== 'DISPOSED') return false;
      throw error;
    }
  }

  /**
   * Names of the residual stream behind every transformer block: of the vision tower up to the features, of
   * the decoder.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` when the blocks of a graph are not recognised
   */
  async blockOutputs(): Promise<{ vision: readonly string[]; decoder: readonly string[] }> {
    const { visionModel, decoderModel, featureOutput } = this.whiteBox;
    return {
      vision: await this.sessions.blockOutputs(visionModel, featureOutput),
      decoder: await this.sessions.blockOutputs(decoderModel, EXPORTED.logits),
    };
  }

  /** Forward only: attention averaged over heads of every block of both parts. */
  async attentionMaps(
    signal?: AbortSignal,
  ): Promise<{ vision: readonly LayerMap[]; decoder: readonly LayerMap[] }> {
    const { visionModel, decoderModel, featureOutput, visionTokenPlayers } = this.whiteBox;
    const seen = await this.sessions.use(
      'vision maps',
      () => MappedModel.load(visionModel, featureOutput, [featureOutput]),
      (vision) => vision.run(this.visionFeeds(), visionTokenPlayers.length, { signal }),
    );
    const embeddings = this.merged(floats(seen.values[featureOutput]), await this.embedInput(signal));
    const read = await this.sessions.use(
      'decoder maps',
      () => MappedModel.load(decoderModel, EXPORTED.logits, []),
      (decoder) => decoder.run(this.decoderFeeds(embeddings), this.length, { signal }),
    );
    return { vision: seen.maps, decoder: read.maps };
  }

  /**
   * Forward only: the logits that predict the decision token, [vocabulary], with nothing attending to chosen
   * positions, once for each of the lists.
   *
   * @throws FsynError `UNSUPPORTED_MODEL` where the decoder takes no mask or no positions: it would count
   *   them from the mask, and a hidden token would move all later ones
   */
  async logitsWithout(hidden: readonly (readonly number[])[], signal?: AbortSignal): Promise<Float32Array[]> {
    const feeds = this.decoderFeeds(await this.#mergedInput(signal));
    const mask = this.whiteBox.decoderFeeds(this.length)[EXPORTED.mask];
    return this.sessions.use(
      'decoder logits',
      () => TappedModel.load(this.whiteBox.decoderModel, { tensors: [EXPORTED.logits] }),
      async (decoder) => {
        const missing = [EXPORTED.mask, EXPORTED.positions].filter((name) => !decoder.inputs.includes(name));
        if (mask === undefined || missing.length > 0) {
          const message = `${this.whiteBox.decoderModel} takes no ${missing.join(' and no ')}, so a token cannot be hidden and the others left where they are.`;
          throw new FsynError('UNSUPPORTED_MODEL', message);
        }
        const rows: Float32Array[] = [];
        for (const positions of hidden) {
          const seen = (mask.data as BigInt64Array<ArrayBuffer>).slice();
          for (const position of positions) seen[position] = 0n;
          const given = { ...feeds, [EXPORTED.mask]: toNdArray(seen, mask.shape) };
          const { values } = await decoder.run(given, { signal });
          const logits = floats(values[EXPORTED.logits]);
          rows.push(logits.slice(logits.length - logits.length / this.length));
        }
        return rows;
      },
    );
  }

  /** The sequence before the decision token with the whole image in it, [length, hidden]. */
  async #mergedInput(signal: AbortSignal | undefined): Promise<Float32Array> {
    const { visionModel, featureOutput } = this.whiteBox;
    const seen = await this.sessions.use(
      'vision features',
      () => TappedModel.load(visionModel, { tensors: [featureOutput] }),
      (vision) => vision.run(this.visionFeeds(), { signal }),
    );
    return this.merged(floats(seen.values[featureOutput]), await this.embedInput(signal));
  }

  /** Forward only: logits of chosen tokens at every position before the decision token, [length, tokens]. */
  async tokenLogits(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    const { decoderModel } = this.whiteBox;
    const embeddings = await this.#mergedInput(signal);
    const feeds = { ...this.decoderFeeds(embeddings), logit_tokens: int64Feed(tokens) };
    const { values } = await this.sessions.use(
      'decoder columns',
      () => TappedModel.load(decoderModel, { logitColumns: true }),
      (decoder) => decoder.run(feeds, { signal }),
    );
    return floats(values[EXPORTED.logits]);
  }
}
