import ndarray from 'ndarray';
import { CellTable } from '../cells/table.js';
import { FsynError, reasonOf } from '../errors.js';
import { integratedGradients } from '../explainers/integrated-gradients.js';
import { explainers } from '../explainers/registry.js';
import type { Explainer } from '../explainers/types.js';
import type { PreparedSample, RgbImage, Vlm } from '../vlm/types.js';
import { explain } from './evaluate.js';

/** What a model will do, tried on one picture and question. */
export interface ModelCheck {
  readonly answer: string;
  /** How words can be taken away, or why they cannot. */
  readonly textMasking: { readonly mode: 'remove' | 'attend'; readonly refused: string | undefined };
  /** Log-probability (of a CLIP model: cosine) with everything present and with everything absent. */
  readonly present: number;
  readonly absent: number;
  /** Why cells are not run in the cheapest way. */
  readonly fallbacks: readonly { readonly code: string; readonly reason: string }[];
  /** Names of explainers that gave scores. */
  readonly explainers: readonly string[];
  /** Those that this model does not allow, with their reasons. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

const QUESTION = 'Is there a red circle in the picture?';

/**
 * Runs one masked pass and every explainer of `all` on a made-up picture: Integrated Gradients in two steps,
 * and of those that ask for cells only, whether there are cells to be had.
 *
 * @throws FsynError of `prepare` or `evaluate` for a model that cannot be run; INFERENCE when a score is not
 *   finite
 */
export async function checkModel(model: Vlm, signal?: AbortSignal): Promise<ModelCheck> {
  const { sample, refused } = await prepared(model, signal);
  const [players, words] = [sample.imagePlayers.count, sample.textPlayers.count];
  const cells = new CellTable(players, words);
  for (const present of [1, 0]) {
    const state = (count: number) => new Uint8Array(count).fill(present);
    cells.cell(cells.imageState(state(players)), cells.textState(state(words)));
  }
  const { logProbabilities, tokens, decision } = await sample.evaluate(cells, { signal });
  if (!logProbabilities.every(Number.isFinite)) {
    throw new FsynError('INFERENCE', 'A masked pass gives scores that are not finite.');
  }
  const able: string[] = [];
  const leftOut: { name: string; reason: string }[] = [];
  for (const explainer of explainers.filter((one) => !one.needsTruth && !one.byNameOnly)) {
    try {
      await tryExplainer(sample, explainer, signal);
      able.push(explainer.name);
    } catch (error) {
      signal?.throwIfAborted();
      leftOut.push({ name: explainer.name, reason: reasonOf(error) });
    }
  }
  return {
    answer: sample.answer.text,
    textMasking: { mode: refused === undefined ? 'remove' : 'attend', refused },
    present: logProbabilities[decision],
    absent: logProbabilities[tokens + decision],
    fallbacks: (await sample.plan?.(cells))?.fallbacks ?? [],
    explainers: able,
    leftOut,
  };
}

/** A prepared sample with words removed, or attended where the model refuses that. */
async function prepared(
  model: Vlm,
  signal: AbortSignal | undefined,
): Promise<{ sample: PreparedSample; refused: string | undefined }> {
  const options = { maxNewTokens: 2, signal };
  try {
    const sample = await model.prepare(picture(), QUESTION, { ...options, textMasking: 'remove' });
    return { sample, refused: undefined };
  } catch (error) {
    signal?.throwIfAborted();
    const refuses =
      error instanceof FsynError && ['UNSUPPORTED_MODEL', 'INVALID_ARGUMENT'].includes(error.code);
    if (!refuses) throw error;
    const sample = await model.prepare(picture(), QUESTION, { ...options, textMasking: 'attend' });
    return { sample, refused: error.message };
  }
}

/** A picture with structure in every cell, so that masking any changes something. */
function picture(): RgbImage {
  const side = 96;
  const data = Uint8Array.from({ length: side * side * 3 }, (_, i) => ((i * 37) ^ (i >> 5)) & 255);
  return ndarray(data, [side, side, 3]);
}

async function tryExplainer(
  sample: PreparedSample,
  explainer: Explainer,
  signal: AbortSignal | undefined,
): Promise<void> {
  // Cells were scored above; more of them would only take longer.
  if (explainer.cells !== undefined) return;
  const quick = explainer.name === 'integrated-gradients' ? integratedGradients({ steps: 2 }) : explainer;
  const { image, text } = await explain(sample, quick, { signal });
  if (![...image, ...text].every(Number.isFinite)) {
    throw new FsynError('INFERENCE', 'Its scores are not finite.');
  }
}
