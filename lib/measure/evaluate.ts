import type { Attribution, PlayerTruth } from '../cells/attribution.js';
import { checkAttribution } from '../cells/ranking.js';
import { CellTable } from '../cells/table.js';
import { findExplainers } from '../explainers/registry.js';
import type { Explainer } from '../explainers/types.js';
import {
  defaultFaithfulness,
  type FaithfulnessOptions,
  type FaithfulnessResult,
  requestFaithfulness,
  scoreFaithfulness,
} from '../metrics/faithfulness.js';
import { resolveOptions } from '../options.js';
import type { PreparedSample } from '../vlm/types.js';

export interface ExplainOptions {
  /** Seed of explainers that draw random numbers. */
  readonly seed: number;
  /** Which players decide the answer; only the Oracle controls look at it. */
  readonly truth: PlayerTruth | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs an explainer, given itself or by its registered name, on a prepared sample.
 *
 * @example
 * const model = await loadVlm('models/llava-1.5-7b');
 * const sample = await model.prepare(await decodeImage('dog.jpg'), 'Is there a dog in the image?');
 * const attribution = await explain(sample, 'occlusion');
 *
 * @throws FsynError ATTRIBUTION where the explainer does not give one finite score per player, DISPOSED after
 *   the model was; else as the explainer
 */
export async function explain(
  sample: PreparedSample,
  explainer: Explainer | string,
  options?: Partial<ExplainOptions>,
): Promise<Attribution> {
  const defaults: ExplainOptions = { seed: 0, truth: undefined, signal: undefined };
  const { seed, truth, signal } = resolveOptions('explain', defaults, options);
  const [method] = typeof explainer === 'string' ? findExplainers([explainer]) : [explainer];
  const attribution = await method.attribute({
    sample,
    truth,
    seed,
    signal,
    evaluate: (cells, evaluateOptions) => sample.evaluate(cells, { signal, ...evaluateOptions }),
  });
  const { imagePlayers, textPlayers } = sample;
  checkAttribution(attribution, { image: imagePlayers.count, text: textPlayers.count }, method.name);
  return attribution;
}

export interface EvaluateAttributionOptions extends FaithfulnessOptions {
  readonly signal: AbortSignal | undefined;
  /** Called with the number of cells done and wanted. */
  readonly onProgress: ((done: number, total: number) => void) | undefined;
}

/**
 * Measures attributions of one sample: F_syn, unimodal curves and, on request, the exact Shapley interaction
 * index. All attributions share one table of cells, so that common coalitions are run once.
 *
 * @returns one result per attribution, in order
 */
export async function evaluate(
  sample: PreparedSample,
  attributions: readonly Attribution[],
  options?: Partial<EvaluateAttributionOptions>,
): Promise<FaithfulnessResult[]> {
  const defaults: EvaluateAttributionOptions = {
    ...defaultFaithfulness,
    signal: undefined,
    onProgress: undefined,
  };
  const { signal, onProgress, ...metrics } = resolveOptions('evaluate', defaults, options);
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const requests = attributions.map((attribution) => requestFaithfulness(table, attribution, metrics));
  if (requests.length === 0) return [];
  const scores = await sample.evaluate(table, { signal, onProgress });
  return requests.map((request) => scoreFaithfulness(request, scores));
}
