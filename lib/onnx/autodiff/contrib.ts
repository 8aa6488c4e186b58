import { copyAttributes } from '../attributes.js';
import { unsupported } from './builder.js';
import { gammaGradient } from './gamma.js';
import { matrixOfBnb4, matrixOfNBits } from './packed.js';
import { type Rule, type RuleContext, type Rules, unary } from './rule.js';

/** A product with a constant weight that is packed in few bits. */
const packedProduct = (matrixOf: (context: RuleContext) => string): Rule =>
  unary((gradient, input, _y, context) => {
    const { builder, node } = context;
    const weight = matrixOf(context);
    const backward = (g: string, w: string) => builder.op('MatMul', [g, w]);
    const gamma = context.gammaOf('linear', node.input[1]);
    if (gamma === 0) return backward(gradient, weight);
    const forward = (x: string, w: string) => builder.fusedMatMul(x, w, false, true);
    // The kernel may round activations to 8 bits, so the product of the weights as they are is computed
    // again.
    const map = { input, weight, gradient, result: undefined, alpha: 1, forward, backward };
    return gammaGradient(context, map, gamma);
  });

export const contribRules: Rules = {
  // A rotation: its transpose is the rotation by the opposite angle.
  RotaryEmbedding: unary((g, _x, _y, { builder, node }) => {
    if (node.domain !== 'com.microsoft') throw unsupported(node, 'decompose it first');
    const [, positions, cosine, sine] = node.input as [string, string, string, string];
    const opposite = builder.once(`negated ${sine}`, () => builder.neg(sine));
    return builder.op('RotaryEmbedding', [g, positions, cosine, opposite], copyAttributes(node), node.domain);
  }),
  MatMulNBits: packedProduct(matrixOfNBits),
  MatMulBnb4: packedProduct(matrixOfBnb4),
};
