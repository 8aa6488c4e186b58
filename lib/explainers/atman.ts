import { FsynError } from '../errors.js';
import { logSoftmaxAt } from '../vlm/scoring.js';
import type { Explainer } from './types.js';
import { WhiteBoxChain } from './white-box/model.js';

/**
 * AtMan (Deiseroth et al. 2023): a player's relevance is how much the cross-entropy of the decision token
 * grows when the attention to its tokens is suppressed in every block of the decoder, L(suppressed) -
 * L(full). Embeddings, positions and the vision tower stay as they are: other than occlusion it hides a token
 * from the others and does not replace it.
 *
 * Suppressed is whole, that is the weight of attention is zero, as in the code of arXiv 2605.22168. The paper
 * scales the score before the softmax by a factor 1 - f, which leaves some of it, and suppresses tokens of
 * similar embeddings together, which is left out here. Signed; the code of arXiv 2605.22168 clips at zero.
 *
 * @throws FsynError `UNSUPPORTED_MODEL` where the decoder takes no mask or no positions, or overlooks holes
 *   in the mask
 */
export const atman: Explainer = {
  name: 'atman',
  title: 'AtMan',
  reference: 'Deiseroth et al. 2023, arXiv 2301.08110, eq. 3 and 5',
  needsTruth: false,
  byNameOnly: true,
  async attribute({ sample, signal }) {
    const chain = WhiteBoxChain.of(sample, 'atman');
    const { whiteBox, targetToken } = chain;
    const image: number[][] = Array.from({ length: sample.imagePlayers.count }, () => []);
    for (const [i, position] of whiteBox.imagePositions.entries())
      image[whiteBox.featurePlayers[i]]?.push(position);
    const text = Array.from(whiteBox.textPositions, (position) => [position]);
    const players = [...image, ...text];
    const rows = await chain.logitsWithout([[], players.flat(), ...players], signal);
    const [full, none, ...suppressed] = rows;
    if (full.every((logit, i) => logit === none[i])) {
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        `${whiteBox.decoderModel} overlooks holes in attention_mask, so atman cannot suppress attention to a token.`,
      );
    }
    const loss = (logits: Float32Array) => -logSoftmaxAt(logits, logits.length, 0, targetToken);
    const scores = Float64Array.from(suppressed, (row) => loss(row) - loss(full));
    return { image: scores.slice(0, image.length), text: scores.slice(image.length) };
  },
};
