import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import { selectRowsEarly } from '../../onnx/early-rows.js';
import { type DifferentiableOptions, type OnnxModel, SplitModel, selectLogits } from '../../onnx/index.js';
import { ROWS } from '../../onnx/plan.js';
import { prepareModel } from '../../onnx/prepare.js';
import { int64Feed } from '../../onnx/types.js';
import type { WhiteBox } from '../../vlm/types.js';
import { concatenated, parts } from './batch.js';
import { averagedMap, headMean, MAP_TOKENS } from './head-maps.js';
import type { ChainInputs } from './inputs.js';
import { JoinedChain, type JoinedResult } from './joined.js';
import { passOptions, wholeLimit } from './memory.js';
import {
  type ChainOptions,
  type ChainPoint,
  type ChainResult,
  type DecoderResult,
  floats,
} from './results.js';
import type { ModelSessions } from './sessions.js';
import { type Explained, explainedOf } from './target.js';

/**
 * One forward and one backward pass for all points together: in one session where that fits into memory, else graph by graph, with
 * checkpoints where these are needed.
 */
export async function pass(
  chain: ChainInputs,
  sessions: ModelSessions,
  points: readonly ChainPoint[],
  options: ChainOptions,
): Promise<ChainResult[]> {
  const passes = new Passes(chain, sessions, points, options);
  return (await passes.joined()) ?? (await passes.inParts());
}

const NOTHING = new Float32Array(0);

type Tensors = Readonly<Record<string, TensorValue>>;

class Passes {
  readonly #chain: ChainInputs;
  readonly #whiteBox: WhiteBox;
  readonly #sessions: ModelSessions;
  readonly #points: readonly ChainPoint[];
  readonly #options: ChainOptions;
  readonly #decoderOnly: boolean;

  constructor(
    chain: ChainInputs,
    sessions: ModelSessions,
    points: readonly ChainPoint[],
    options: ChainOptions,
  ) {
    this.#chain = chain;
    this.#whiteBox = chain.whiteBox;
    this.#sessions = sessions;
    this.#points = points;
    this.#options = options;
    this.#decoderOnly = points[0]?.features !== undefined;
  }

  /** Everything in one session; undefined where that cannot be, or does not surely fit. */
  joined(): Promise<ChainResult[] | undefined> {
    const vision = this.#decoderOnly ? '' : this.#visionKey();
    return this.#sessions.use(
      `joined ${vision} ${this.#decoderKey()}`,
      async () => {
        const seen = { source: this.#whiteBox.visionModel, options: this.#visionOptions() };
        const read = { source: await this.#decoderSource(), options: this.#decoderOptions() };
        const made = await JoinedChain.load(read, this.#decoderOnly ? undefined : seen);
        return { made, dispose: () => made?.dispose() };
      },
      async ({ made }) => made && this.#throughJoined(made),
    );
  }

  async #throughJoined(joined: JoinedChain): Promise<ChainResult[] | undefined> {
    const { whiteBox, length, targetToken } = this.#chain;
    const { target = 'logit', rival, signal } = this.#options;
    if (joined.vocabulary !== undefined) this.#requireToken(joined.vocabulary);
    const pixels = this.#pixels();
    const rows = await this.#rows();
    const hidden = rows[0].length / length;
    const count = this.#points.length;
    const made = await joined.run(
      ndarray(concatenated(rows), [count, length, hidden]) as TensorValue,
      {
        ...this.#chain.decoderInputs(length, count),
        [ROWS]: int64Feed([length - 1]),
        [MAP_TOKENS]: int64Feed([length]),
      },
      { token: targetToken, rival: target === 'contrast' ? rival : undefined, target },
      this.#decoderOnly
        ? undefined
        : {
            feeds: {
              ...this.#chain.visionFeeds(concatenated(pixels)),
              [MAP_TOKENS]: int64Feed([whiteBox.visionTokenPlayers.length]),
            },
            positions: whiteBox.imagePositions,
          },
      { memory: wholeLimit(), signal },
    );
    return made && this.#collected(made, pixels, rows, hidden);
  }

  /** Rows of the sequence for every point: of all positions where the image is given as features, else of the text. */
  async #rows(): Promise<Float32Array[]> {
    const { tokenIds } = this.#whiteBox;
    const { signal } = this.#options;
    const rows: Float32Array[] = [];
    let own: Float32Array | undefined;
    for (const { features, tokenEmbeddings } of this.#points) {
      if (!tokenEmbeddings) own ??= await this.#chain.embed(tokenIds.subarray(0, this.#chain.length), signal);
      const text = tokenEmbeddings ?? (own as Float32Array);
      rows.push(features ? await this.#chain.merged(features, text, signal) : text);
    }
    return rows;
  }

  #collected(
    made: JoinedResult,
    pixels: readonly Float32Array[],
    rows: readonly Float32Array[],
    hidden: number,
  ): ChainResult[] {
    const count = this.#points.length;
    const logits = parts(floats(made.logits), count);
    const gradients = parts(floats(made.decoder.gradients.inputs_embeds), count);
    const own = this.#decoderOnly;
    const embeddings = own ? rows : parts(floats(made.decoder.values.inputs_embeds), count);
    const features = own
      ? this.#points.map((point) => point.features as Float32Array)
      : parts(floats(made.features), count);
    this.#chain.requireFeatures(features[0].length, hidden);
    const slopes = own ? [] : parts(floats(made.vision.gradients[this.#whiteBox.pixelInput]), count);
    return logits.map((row, i) => {
      const { explained, rival } = this.#explained(row);
      return {
        explained: explained.value,
        rival,
        embeddings: embeddings[i],
        embeddingGradient: gradients[i],
        features: features[i],
        featureGradient: this.#featureRows(gradients[i], hidden),
        hidden,
        decoderValues: made.decoder.values,
        decoderGradients: made.decoder.gradients,
        decoderMaps: made.decoder.maps.map((map) => averagedMap(map, this.#chain.length)),
        pixels: pixels[i] ?? NOTHING,
        pixelGradient: slopes[i] ?? NOTHING,
        visionValues: made.vision.values,
        visionGradients: made.vision.gradients,
        visionMaps: made.vision.maps.map((map) => averagedMap(map, this.#whiteBox.visionTokenPlayers.length)),
      };
    });
  }

  /** Vision graph and decoder one after the other, each forward and backward in sessions of its own. */
  async inParts(): Promise<ChainResult[]> {
    const { signal } = this.#options;
    const points = this.#points;
    if (this.#decoderOnly) {
      const decoded = await this.#decode(points.map((point) => point.features as Float32Array));
      const absent = {
        pixels: NOTHING,
        pixelGradient: NOTHING,
        visionValues: {},
        visionGradients: {},
        visionMaps: [],
      };
      return decoded.map((part) => ({ ...part, ...absent }));
    }
    const pixels = this.#pixels();
    const load = () => SplitModel.load(this.#whiteBox.visionModel, { ...this.#visionOptions(), share: 0.5 });
    return this.#sessions.use(`vision ${this.#visionKey()}`, load, async (vision) => {
      const seen = this.#chain.visionFeeds(concatenated(pixels));
      using run = await vision.forward(seen, passOptions(signal));
      const decoded = await this.#decode(parts(floats(run.output), points.length));
      const cotangents = concatenated(decoded.map(({ featureGradient }) => featureGradient));
      const cotangent = ndarray(cotangents, [...run.output.shape]) as TensorValue;
      const visionGradients = await run.backward(cotangent, { signal });
      const gradients = parts(floats(visionGradients[this.#whiteBox.pixelInput]), points.length);
      const tokens = this.#whiteBox.visionTokenPlayers.length;
      const inner = this.#tensors(vision, run.values, visionGradients, tokens);
      return decoded.map((part, i) => ({
        ...part,
        pixels: pixels[i],
        pixelGradient: gradients[i],
        visionValues: inner.values,
        visionGradients: inner.gradients,
        visionMaps: inner.maps,
      }));
    });
  }

  /** One forward and one backward pass of the decoder. */
  async #decode(features: readonly Float32Array[]): Promise<DecoderResult[]> {
    const { signal } = this.#options;
    const { length } = this.#chain;
    const count = this.#points.length;
    const embeddings: Float32Array[] = [];
    for (const [i, { tokenEmbeddings }] of this.#points.entries()) {
      embeddings.push(await this.#chain.merged(features[i], tokenEmbeddings, signal));
    }
    const hidden = embeddings[0].length / length;
    const feeds = this.#chain.decoderFeeds(concatenated(embeddings), length, count);
    const load = async () => SplitModel.load(await this.#decoderSource(), this.#decoderOptions());
    return this.#sessions.use(`decoder ${this.#decoderKey()}`, load, async (decoder) => {
      const rows = { ...feeds, [ROWS]: int64Feed([length - 1]) };
      using read = await decoder.forward(rows, passOptions(signal));
      const targets = parts(floats(read.output), count).map((row) => this.#explained(row));
      const seeds = concatenated(targets.map(({ explained }) => explained.seed));
      const seed = ndarray(seeds, [...read.output.shape]) as TensorValue;
      const decoderGradients = await read.backward(seed, { signal });
      const inner = this.#tensors(decoder, read.values, decoderGradients, length);
      return parts(floats(decoderGradients.inputs_embeds), count).map((embeddingGradient, i) => ({
        explained: targets[i]?.explained.value as number,
        rival: targets[i]?.rival,
        embeddings: embeddings[i],
        embeddingGradient,
        features: features[i],
        featureGradient: this.#featureRows(embeddingGradient, hidden),
        hidden,
        decoderValues: inner.values,
        decoderGradients: inner.gradients,
        decoderMaps: inner.maps,
      }));
    });
  }

  /** Tensors by name, and in place of attentions what `averageHeads` makes of them in the runtime. */
  #tensors({ blocks }: SplitModel, values: Tensors, gradients: Tensors, tokens: number) {
    if (!this.#options.attentionMaps) return { values, gradients, maps: [] };
    const names = new Set(blocks.map(({ attention }) => attention));
    const others = (tensors: Tensors): Tensors =>
      Object.fromEntries(Object.entries(tensors).filter(([name]) => !names.has(name)));
    const maps = [...names].map((name) => headMean(values[name], gradients[name], tokens));
    return { values: others(values), gradients: others(gradients), maps };
  }

  #pixels(): Float32Array[] {
    return this.#decoderOnly ? [] : this.#points.map((point) => point.pixels ?? this.#chain.pixels());
  }

  #explained(row: Float32Array): { explained: Explained; rival: number | undefined } {
    this.#requireToken(row.length);
    const rival = this.#rival(row);
    return { explained: explainedOf(row, this.#chain.targetToken, rival, this.#options.target), rival };
  }

  /** Checks the decision token against the number of words. */
  #requireToken(words: number): void {
    const { targetToken, whiteBox } = this.#chain;
    if (targetToken < words) return;
    const message = `The decision token ${targetToken} is outside the ${words} words of ${whiteBox.decoderModel}.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }

  /** The largest logit besides the decision token's, ties to the lower index; none for other targets than `contrast`. */
  #rival(row: Float32Array): number | undefined {
    const { target, rival } = this.#options;
    const { targetToken } = this.#chain;
    if (target !== 'contrast') return undefined;
    if (rival !== undefined) return rival;
    let best = targetToken === 0 ? 1 : 0;
    for (const [token, logit] of row.entries()) {
      if (token !== targetToken && logit > row[best]) best = token;
    }
    return best;
  }

  #featureRows(gradient: Float32Array, hidden: number): Float32Array {
    const { imagePositions } = this.#whiteBox;
    const rows = new Float32Array(imagePositions.length * hidden);
    for (const [i, position] of imagePositions.entries()) {
      rows.set(gradient.subarray(position * hidden, (position + 1) * hidden), i * hidden);
    }
    return rows;
  }

  #visionKey(): string {
    const { mode = 'grad', visionGamma, attentionMaps = false, visionTensors = [] } = this.#options;
    return `${mode} ${JSON.stringify(visionGamma)} ${attentionMaps} ${visionTensors.join()}`;
  }

  #decoderKey(): string {
    const { mode = 'grad', attentionMaps = false, decoderTensors = [] } = this.#options;
    return `${mode} ${attentionMaps} ${decoderTensors.join()}`;
  }

  #visionOptions(): Omit<DifferentiableOptions, 'selectLogits'> {
    const { mode = 'grad', attentionMaps = false, visionTensors = [], visionGamma } = this.#options;
    const { featureOutput, pixelInput } = this.#whiteBox;
    return {
      output: featureOutput,
      wrt: [pixelInput, ...visionTensors],
      expose: visionTensors,
      mode,
      attentions: attentionMaps,
      ...(visionGamma ? { gamma: visionGamma } : {}),
      probe: this.#visionProbes(),
    };
  }

  /** A batch of two where the export takes one, because sizes above 1 are unambiguous; else the sample's own inputs. */
  #visionProbes(): Record<string, TensorValue>[] {
    const chain = this.#chain;
    const own = chain.visionFeeds();
    const [batch, ...rest] = chain.pixelShape;
    if (batch !== 1 || rest.length !== 3) return [own];
    const single = chain.pixels();
    const pair = ndarray(concatenated([single, single]), [2, ...rest]) as TensorValue;
    return [{ ...own, [this.#whiteBox.pixelInput]: pair }, own];
  }

  #decoderOptions(): Omit<DifferentiableOptions, 'selectLogits'> {
    const { mode = 'grad', attentionMaps = false, decoderTensors = [] } = this.#options;
    const wrt = ['inputs_embeds', ...decoderTensors];
    return { output: 'logits', wrt, expose: decoderTensors, mode, attentions: attentionMaps };
  }

  /** The decoder that computes the last position's logits, and of the last layer no other position where none is asked for. */
  async #decoderSource(): Promise<OnnxModel> {
    const { decoderTensors = [] } = this.#options;
    const model = await prepareModel(this.#whiteBox.decoderModel);
    selectLogits(model, { rows: ROWS });
    const early = model.clone();
    await selectRowsEarly(early, ROWS);
    return decoderTensors.every((name) => early.graph.has(name)) ? early : model;
  }
}
