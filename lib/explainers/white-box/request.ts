import { FsynError } from '../../errors.js';
import { Once } from '../../lease.js';
import type { ChainInputs } from './inputs.js';
import type { ChainOptions, ChainPoint, ExplainedPoint } from './results.js';
import { explainedOf } from './target.js';

/** One pass that is asked for: of which sample, at which points, for what. */
export class PassRequest {
  readonly inputs: ChainInputs;
  readonly points: readonly ChainPoint[];
  readonly options: ChainOptions;
  /** Image features of every point, when they are given: the vision graph then does not run. */
  readonly features: readonly Float32Array[] | undefined;

  readonly #ownText = new Once<Float32Array>();

  constructor(inputs: ChainInputs, points: readonly ChainPoint[], options: ChainOptions) {
    this.inputs = inputs;
    this.points = points;
    this.options = options;
    const features = points.flatMap((point) => point.features ?? []);
    this.features = features.length > 0 ? features : undefined;
  }

  /** Pixels of every point. */
  pixels(): Float32Array[] {
    return this.points.map(({ pixels }) => pixels ?? this.inputs.pixels());
  }

  /**
   * Rows of the sequence for every point: of all positions where the image is given as features, else of the
   * text.
   */
  rows(): Promise<Float32Array[]> {
    return this.features
      ? this.merged(this.features)
      : Promise.all(this.points.map((point) => this.#text(point)));
  }

  /** The sequence of every point with image features in their places. */
  merged(features: readonly Float32Array[]): Promise<Float32Array[]> {
    return Promise.all(
      this.points.map(async (point, i) => this.inputs.merged(features[i], await this.#text(point))),
    );
  }

  /** The explained value of a row of logits and its gradient there. */
  explain(row: Float32Array): ExplainedPoint {
    this.requireToken(row.length);
    const rival = this.#rival(row);
    return { ...explainedOf(row, this.inputs.targetToken, rival, this.options.target), rival };
  }

  /**
   * Checks the decision token against the number of words.
   *
   * @throws FsynError `MODEL_CONTRACT`
   */
  requireToken(words: number): void {
    const { targetToken, whiteBox } = this.inputs;
    if (targetToken < words) return;
    const message = `The decision token ${targetToken} is outside the ${words} words of ${whiteBox.decoderModel}.`;
    throw new FsynError('MODEL_CONTRACT', message);
  }

  async #text({ tokenEmbeddings }: ChainPoint): Promise<Float32Array> {
    return tokenEmbeddings ?? this.#ownText.get(() => this.inputs.embedInput(this.options.signal));
  }

  /**
   * The largest logit besides the decision token's, ties to the lower index; none for other targets than
   * `contrast`.
   */
  #rival(row: Float32Array): number | undefined {
    const { target, rival } = this.options;
    const { targetToken } = this.inputs;
    if (target !== 'contrast') return undefined;
    if (rival !== undefined) return rival;
    let best = targetToken === 0 ? 1 : 0;
    for (const [token, logit] of row.entries()) {
      if (token !== targetToken && logit > row[best]) best = token;
    }
    return best;
  }
}
