import { FsynError } from '../../errors.js';
import type { TensorValue } from '../../inference/session.js';
import type { Gamma, Mode } from '../../onnx/index.js';
import type { Explained, Target } from './target.js';

/** What is explained at one point. */
export interface ExplainedPoint extends Explained {
  /** The token that target `contrast` subtracts. */
  readonly rival: number | undefined;
}

/**
 * One layer's attention averaged over heads: block-diagonal over images (or tiles), each [tokens, tokens].
 */
export interface LayerMap {
  readonly blocks: number;
  readonly tokens: number;
  /** What token `row` of all blocks attends to, written into [tokens]. */
  readonly read: (row: number, line: Float64Array) => void;
}

/** Gradients (or LRP's modified gradients) of what is explained, through the decoder. */
export interface DecoderResult {
  /** The value of the target. */
  readonly explained: number;
  /** The token that target `contrast` subtracted. */
  readonly rival: number | undefined;
  /** Embeddings after the merge, [length, hidden], and their gradients. */
  readonly embeddings: Float32Array;
  readonly embeddingGradient: Float32Array;
  /** Image features, [image positions, hidden], and their gradients. */
  readonly features: Float32Array;
  readonly featureGradient: Float32Array;
  readonly hidden: number;
  /** Values and gradients of the wanted tensors of the decoder by name. */
  readonly decoderValues: Readonly<Record<string, TensorValue>>;
  readonly decoderGradients: Readonly<Record<string, TensorValue>>;
  /**
   * The positive part of attention times its gradient, averaged over heads, of every block of the decoder,
   * when asked for.
   */
  readonly decoderMaps: readonly LayerMap[];
}

/** The same through the whole chain. */
export interface ChainResult extends DecoderResult {
  /** The pixel input and its gradient, row-major; both empty where features were given. */
  readonly pixels: Float32Array;
  readonly pixelGradient: Float32Array;
  /** Values and gradients of the wanted tensors of the vision graph by name. */
  readonly visionValues: Readonly<Record<string, TensorValue>>;
  readonly visionGradients: Readonly<Record<string, TensorValue>>;
  /** As `decoderMaps`, of every block that the features come from. */
  readonly visionMaps: readonly LayerMap[];
}

export interface ChainOptions {
  readonly mode?: Mode;
  /** Gamma rule of the LRP modes in the vision tower. Default: the epsilon rule. */
  readonly visionGamma?: Gamma | undefined;
  /** Whether `decoderMaps` and `visionMaps` are wanted; at one point only. */
  readonly attentionMaps?: boolean;
  /** Inner tensors of the vision graph and of the decoder whose values and gradients are wanted. */
  readonly visionTensors?: readonly string[];
  readonly decoderTensors?: readonly string[];
  /** What is explained. Default: `logit`. */
  readonly target?: Target;
  /**
   * The rival of target `contrast`. Default: the token with the largest logit besides the decision token's.
   */
  readonly rival?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Where gradients are taken; what is left out is the sample's own. */
export interface ChainPoint {
  readonly pixels?: Float32Array;
  /**
   * Image features in place of the vision tower's, which then does not run. All points of a call have them or
   * none.
   */
  readonly features?: Float32Array;
  /** Embeddings of the text tokens, [length, hidden]; image positions are overwritten by the merge. */
  readonly tokenEmbeddings?: Float32Array;
}

/** Inner tensors of one graph. */
export interface InnerTensors {
  /** Of the wanted tensors by name. */
  readonly values: Readonly<Record<string, TensorValue>>;
  readonly gradients: Readonly<Record<string, TensorValue>>;
  /** Of every block, where attention maps are asked for. */
  readonly maps: readonly LayerMap[];
}

/** What a forward and a backward pass gave: arrays by point, inner tensors of all points together. */
export interface Computed {
  readonly explained: readonly ExplainedPoint[];
  readonly embeddings: readonly Float32Array[];
  readonly embeddingGradients: readonly Float32Array[];
  readonly features: readonly Float32Array[];
  readonly decoder: InnerTensors;
  /** Absent where features were given. */
  readonly vision?: InnerTensors & {
    readonly pixels: readonly Float32Array[];
    readonly pixelGradients: readonly Float32Array[];
  };
}

/** Values of a float32 tensor in JavaScript memory. */
export function floats(tensor: TensorValue | undefined): Float32Array {
  if (!tensor || !('data' in tensor) || !(tensor.data instanceof Float32Array)) {
    throw new FsynError(
      'MODEL_CONTRACT',
      'The model gives a tensor that is not float32 where explainers need one.',
    );
  }
  return tensor.data;
}
