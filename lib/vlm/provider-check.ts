import ndarray from 'ndarray';
import { CellTable } from '../cells/table.js';
import { FsynError } from '../errors.js';
import { Random } from '../statistics/random.js';
import { trialPresence } from './row-trial.js';
import type { PreparedSample, PrepareOptions, ProviderCheck, RgbImage, Vlm } from './types.js';

/**
 * A tenth in log-probability is a tenth of a probability, as much as a weak interaction: no order of sums
 * leads there, while WGSL's 2^-11 for exponentials and the 10-bit mantissas of tensor cores stay below it in
 * models that are well conditioned.
 */
const MOST_APART = { logProbability: 0.1, cosine: 0.01 };

/**
 * Scores four cells of a made-up question, two image states with two text states, on a model and on the same
 * model on the processor, each cell by itself where the model allows it.
 *
 * @throws FsynError PROVIDER_INEXACT where they differ by more than the bound
 */
export async function checkProvider(
  vlm: Vlm,
  processor: Vlm,
  providers: readonly string[],
  signal: AbortSignal | undefined,
): Promise<ProviderCheck> {
  const image = madeUpImage();
  const question = vlm.readableQuestion ?? 'Is it red?';
  const options = await trialOptions(processor, image, question, signal);
  const expected = await fourCells(await processor.prepare(image, question, options), signal);
  const found = await fourCells(await vlm.prepare(image, question, options), signal);
  const apart = expected.values.map((value, i) => Math.abs(value - found.values[i]));
  const largest = apart.some(Number.isNaN) ? Number.NaN : Math.max(...apart);
  const bound = MOST_APART[expected.kind];
  if (!(largest <= bound)) {
    const what = expected.kind === 'cosine' ? 'a cosine' : 'a log-probability';
    throw new FsynError(
      'PROVIDER_INEXACT',
      `On ${providers.join(', ')} ${what} of ${vlm.name} is up to ${largest.toExponential(1)} away from that on the processor, on ` +
        `four cells of a made-up question; ${bound} is accepted. Use the provider cpu, or another number format of the model.`,
    );
  }
  return { providers, cells: 4, largest, bound };
}

/** Noise that is the same everywhere. */
function madeUpImage(): RgbImage {
  const random = new Random(1);
  const data = Uint8Array.from({ length: 96 * 128 * 3 }, () => random.integer(256));
  return ndarray(data, [96, 128, 3]);
}

/** Both are given the answer of the processor, so that the same tokens are scored. */
async function trialOptions(
  processor: Vlm,
  image: RgbImage,
  question: string,
  signal: AbortSignal | undefined,
): Promise<PrepareOptions> {
  try {
    const { answer } = await processor.prepare(image, question, { maxNewTokens: 1, signal });
    return answer.decisionKind === 'similarity' ? { signal } : { answer: answer.text, signal };
  } catch (error) {
    // An untrained model may answer with nothing but special tokens.
    if (!(error instanceof FsynError) || error.code !== 'INFERENCE') throw error;
    return { answer: question, signal };
  }
}

async function fourCells(
  sample: PreparedSample,
  signal: AbortSignal | undefined,
): Promise<{ readonly values: readonly number[]; readonly kind: keyof typeof MOST_APART }> {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (const i of [0, 1]) {
    for (const t of [0, 1]) {
      const image = cells.imageState(trialPresence(cells.imagePlayers, i));
      cells.cell(image, cells.textState(trialPresence(cells.textPlayers, t)));
    }
  }
  const score = sample.evaluatePlainly?.bind(sample) ?? sample.evaluate.bind(sample);
  const { logProbabilities, similarities } = await score(cells, { signal });
  return similarities === undefined
    ? { values: [...logProbabilities], kind: 'logProbability' }
    : { values: [...similarities], kind: 'cosine' };
}
