import {
  type AttributeInputs,
  floatAttribute,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from '../attributes.js';
import type { TensorType } from '../types.js';
import { unsupported } from './builder.js';
import { gammaGradient } from './gamma.js';
import type { RuleContext, Rules } from './rule.js';

/** Gives the gradient of a matrix-product operand after summing over broadcast batch axes. */
function giveOperand(context: RuleContext, index: number, gradient: () => string): void {
  if (!context.wants(index)) return;
  const { node, builder } = context;
  const y = node.output[0];
  const x = node.input[index];
  const result = builder.type(y);
  const operand = builder.type(x);
  // The gradient has the batch axes of the result and the matrix axes of the operand.
  const from: TensorType = {
    dataType: result.dataType,
    shape: [...result.shape.slice(0, -2), ...operand.shape.slice(-2)],
    ...(result.probe && operand.probe
      ? { probe: [...result.probe.slice(0, -2), ...operand.probe.slice(-2)] }
      : {}),
  };
  context.give(index, builder.reduceTo(gradient(), from, `${y} as operand ${index}`, x));
}

function requireMatrices(context: RuleContext): void {
  for (const x of context.node.input.slice(0, 2)) {
    if (context.builder.rank(x) < 2) throw unsupported(context.node, 'an operand is a vector');
  }
}

function backwardMatMul(context: RuleContext, transA: boolean, transB: boolean, alpha: number): void {
  requireMatrices(context);
  const { node, builder } = context;
  const [a, b] = node.input as [string, string];
  const gamma = transA ? 0 : context.gammaOf('linear', b);
  giveOperand(context, 0, () => {
    const g = context.shared();
    if (gamma > 0) {
      const map = {
        input: a,
        weight: b,
        gradient: g,
        result: node.input[2] ? undefined : node.output[0],
        alpha,
        forward: (x: string, w: string) => builder.fusedMatMul(x, w, false, transB, alpha),
        backward: (y: string, w: string) => builder.fusedMatMul(y, w, false, !transB, alpha),
      };
      return gammaGradient(context, map, gamma);
    }
    return transA
      ? builder.fusedMatMul(b, g, transB, true, alpha)
      : builder.fusedMatMul(g, b, false, !transB, alpha);
  });
  giveOperand(context, 1, () => {
    const g = context.shared();
    return transB
      ? builder.fusedMatMul(g, a, true, transA, alpha)
      : builder.fusedMatMul(a, g, !transA, false, alpha);
  });
}

function backwardEinsum(context: RuleContext): void {
  const { node, builder } = context;
  const equation = stringAttribute(node, 'equation', '').replaceAll(' ', '');
  const [left, result] = equation.split('->') as [string, string | undefined];
  if (equation.includes('.') || result === undefined)
    throw unsupported(node, 'its equation is implicit or has an ellipsis');
  const terms = left.split(',');
  for (const [i, term] of terms.entries()) {
    if (!context.wants(i)) continue;
    if (new Set(term).size !== term.length) throw unsupported(node, 'a term repeats an index');
    const others = terms.map((_, j) => j).filter((j) => j !== i);
    const available = new Set([...result, ...others.flatMap((j) => [...terms[j]])]);
    const kept = [...term].filter((letter) => available.has(letter)).join('');
    const operands = [context.shared(), ...others.map((j) => node.input[j])];
    const inputs = [result, ...others.map((j) => terms[j])].join(',');
    let gradient = builder.op('Einsum', operands, { equation: `${inputs}->${kept}` });
    const summed = [...term].flatMap((letter, axis) => (available.has(letter) ? [] : [axis]));
    if (summed.length > 0) {
      gradient = builder.op('Expand', [builder.unsqueeze(gradient, summed), builder.shapeOf(node.input[i])]);
    }
    context.give(i, gradient);
  }
}

/** Gradient of a convolution's input: transposed convolution, padded where a strided window never reached. */
function backwardConv(context: RuleContext): void {
  const { node, builder, gradients } = context;
  const [x, weight] = node.input as [string, string];
  const padding = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (padding !== 'NOTSET' && padding !== 'VALID') throw unsupported(node, `auto_pad is ${padding}`);
  const geometry: Record<string, AttributeInputs[string]> = { group: intAttribute(node, 'group', 1) };
  for (const name of ['strides', 'pads', 'dilations']) geometry[name] = intsAttribute(node, name);
  const gamma = context.gammaOf('conv', weight);
  const transposed = (g: string, w: string) => cover(context, builder.op('ConvTranspose', [g, w], geometry));
  const gradient = gradients[0] as string;
  const forward = (t: string, w: string) => builder.op('Conv', [t, w], geometry);
  const result = node.input[2] ? undefined : (node.output[0] as string);
  const map = { input: x, weight, gradient, result, alpha: 1, forward, backward: transposed };
  context.give(0, gamma > 0 ? gammaGradient(context, map, gamma) : transposed(gradient, weight));
}

/** Pads a transposed convolution's result where a strided window never reached. */
function cover(context: RuleContext, reached: string): string {
  const { node, builder } = context;
  if (coversInput(context)) return reached;
  const x = node.input[0] as string;
  const rank = builder.rank(x);
  const missing = builder.sub(builder.shapeOf(x), builder.op('Shape', [reached]));
  const pads = builder.op('Concat', [builder.int64(Array(rank).fill(0)), missing], { axis: 0 });
  return builder.op('Pad', [reached, pads]);
}

function coversInput(context: RuleContext): boolean {
  const { node, builder } = context;
  const x = builder.type(node.input[0] as string).shape.slice(2);
  const kernel = builder.type(node.input[1] as string).shape.slice(2);
  const pads = intsAttribute(node, 'pads') ?? [];
  return x.every((size, i) => {
    const window = kernel[i];
    if (typeof size !== 'number' || typeof window !== 'number') return false;
    const dilated = (window - 1) * (intsAttribute(node, 'dilations')?.[i] ?? 1) + 1;
    const padded = size + (pads[i] ?? 0) + (pads[i + x.length] ?? 0);
    return (padded - dilated) % (intsAttribute(node, 'strides')?.[i] ?? 1) === 0;
  });
}

export const productRules: Rules = {
  MatMul: { inputs: [0, 1], backward: (context) => backwardMatMul(context, false, false, 1) },
  FusedMatMul: {
    inputs: [0, 1],
    backward(context) {
      const { node } = context;
      if (intAttribute(node, 'transBatchA', 0) || intAttribute(node, 'transBatchB', 0)) {
        throw unsupported(node, 'it transposes batch axes');
      }
      const transA = intAttribute(node, 'transA', 0) === 1;
      backwardMatMul(
        context,
        transA,
        intAttribute(node, 'transB', 0) === 1,
        floatAttribute(node, 'alpha', 1),
      );
    },
  },
  Gemm: {
    inputs: [0, 1, 2],
    backward(context) {
      const { node, builder, gradients } = context;
      const transA = intAttribute(node, 'transA', 0) === 1;
      backwardMatMul(
        context,
        transA,
        intAttribute(node, 'transB', 0) === 1,
        floatAttribute(node, 'alpha', 1),
      );
      if (!context.wants(2)) return;
      const [y, bias] = [node.output[0], node.input[2]];
      const scaled = builder.scale(gradients[0] as string, floatAttribute(node, 'beta', 1), y);
      context.give(2, builder.unbroadcast(scaled, y, bias));
    },
  },
  Einsum: { inputs: 'all', backward: backwardEinsum },
  Conv: { inputs: [0], backward: backwardConv },
};
