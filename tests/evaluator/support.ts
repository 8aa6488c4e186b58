import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { CellTable } from '../../lib/cells/table.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PrepareOptions, Vlm } from '../../lib/vlm/types.js';
import { pattern } from '../vlm/pattern.js';

export const tinyLlava = fileURLToPath(new URL('../golden/vlm-llava', import.meta.url));

export const loadTiny = (threads = 1): Promise<Vlm> => loadVlm(tinyLlava, { threads });

export const question = 'Is the red circle left of the blue square?';

/** A sample of the tiny model whose whole answer is scored, so that several rows of logits matter. */
export async function prepare(vlm: Vlm, options: PrepareOptions = {}): Promise<DecoderSample> {
  const sample = await vlm.prepare(pattern(40, 56), question, {
    maxNewTokens: 3,
    answerTokens: 'all',
    ...options,
  });
  return sample as DecoderSample;
}

/** The smallest budget: every batch is one. */
export async function leastMemory(program: EvaluatorProgram): Promise<number> {
  const evaluator = await CoalitionEvaluator.create(program);
  return (await evaluator.plan(new CellTable(program.imagePlayers, program.textPlayers))).bytes.least;
}

/** A table of the given cells; states as lists of presence. */
export function table(
  sample: DecoderSample,
  cells: readonly { readonly image: readonly boolean[]; readonly text: readonly boolean[] }[],
): CellTable {
  const result = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (const { image, text } of cells) result.cell(result.imageState(image), result.textState(text));
  return result;
}

/** Random cells over few image and text states, as metrics want them: states repeat, cells do not. */
export function cellsOf(sample: DecoderSample, maximum = 40): fc.Arbitrary<CellTable> {
  const state = (players: number) => fc.array(fc.boolean(), { minLength: players, maxLength: players });
  return fc
    .record({
      images: fc.array(state(sample.imagePlayers.count), { minLength: 1, maxLength: 6 }),
      texts: fc.array(state(sample.textPlayers.count), { minLength: 1, maxLength: 8 }),
      picks: fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: maximum }),
    })
    .map(({ images, texts, picks }) =>
      table(
        sample,
        picks.map(([i, t]) => ({ image: images[i % images.length], text: texts[t % texts.length] })),
      ),
    );
}

/** Largest absolute difference. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) worst = Math.max(worst, Math.abs(a[i] - b[i]));
  return worst;
}
