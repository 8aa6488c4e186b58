import type { NodeProto } from '../protobuf.js';
import type { BackwardBuilder } from './builder.js';

/**
 * `grad`: gradients. `attnlrp`, `cplrp`: modified gradients whose product with the tensor is its relevance.
 */
export type Mode = 'grad' | 'attnlrp' | 'cplrp';

/** Strength of the Gamma rule in linear layers with constant weights; 0 is the epsilon rule. */
export interface Gamma {
  /** Convolutions. Default: 0. */
  readonly conv?: number;
  /** Matrix products. Default: 0. */
  readonly linear?: number;
}

/** One forward node during the backward pass. */
export interface RuleContext {
  readonly node: NodeProto;
  readonly mode: Mode;
  readonly builder: BackwardBuilder;
  /**
   * Gamma of the LRP modes for operators of one kind; 0 in mode `grad` and where the weight is no constant.
   */
  gammaOf(kind: keyof Gamma, weight: string): number;
  /** Gradient of output i, undefined where none arrived. */
  readonly gradients: readonly (string | undefined)[];
  /**
   * Gradient of output 0 for a product: halved in the LRP modes when both factors are live (uniform rule).
   */
  shared(): string;
  /**
   * The product that alone the gradient of output 0 came from, as its left operand, with the gradient of its
   * result as `shared` gives it; undefined where there is none or more arrived.
   */
  onlyProduct(): { readonly result: string; readonly gradient: string } | undefined;
  /** Whether input i needs a gradient. */
  wants(input: number): boolean;
  /** Adds a gradient of input i, of that input's shape. */
  give(input: number, gradient: string): void;
}

export interface Rule {
  /** Inputs that gradients can flow to; `all` for variadic operators. */
  readonly inputs: readonly number[] | 'all';
  backward(context: RuleContext): void;
}

export type Rules = Readonly<Record<string, Rule>>;

/** A rule with one differentiable input whose gradient is an expression of the output's gradient. */
export function unary(
  expression: (gradient: string, x: string, y: string, context: RuleContext) => string,
): Rule {
  return {
    inputs: [0],
    backward(context) {
      const { node, gradients } = context;
      context.give(
        0,
        expression(gradients[0] as string, node.input[0] as string, node.output[0] as string, context),
      );
    },
  };
}
