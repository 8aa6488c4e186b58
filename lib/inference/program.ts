import { addon, type NativeHandle, type TensorData } from '../addon/addon.js';
import { FsynError } from '../errors.js';
import type { NativeProgram } from './native.js';
import type { Fallback } from './plan.js';
import type { Session, TensorInfo } from './session.js';
import type { TensorArray } from './tensor.js';

/**
 * Names of the decoder's inputs and outputs; optional ones are absent where the export does not have them.
 */
export interface DecoderWiring {
  readonly embeds: string;
  readonly mask: string;
  readonly positions?: string;
  /** Input that says how many of the last rows of logits are wanted. */
  readonly keep?: string;
  /** Input that lists the wanted rows of logits, counted from the end (-1 is the last); int64 [rows]. */
  readonly rows?: string;
  /** Input that chooses the branch with a cache in merged exports. */
  readonly branch?: string;
  readonly logits: string;
  /** Cache inputs with the outputs that continue them; empty where the decoder has no cache. */
  readonly caches: readonly { readonly input: string; readonly output: string }[];
}

/** Cost figures of a model, for the plan's estimates. */
export interface ModelCosts {
  /** Floating-point operations of one image state through the vision graph. */
  readonly visionFlops: number;
  /** Operations per token through the decoder's matrices, without those that only wanted rows go through. */
  readonly tokenFlops: number;
  /**
   * Operations per row of logits: the output head, and what of the last layer is computed for wanted rows
   * only.
   */
  readonly headFlops: number;
  /** Operations per (token, attended token) pair, all layers together whose tokens all attend. */
  readonly attentionFlops: number;
  /** Operations per (wanted row, attended token) pair of the layers where only wanted rows attend. */
  readonly rowAttentionFlops: number;
}

/** Keeps prefixes' caches in a provider's memory (native/inference/coalition_program.hpp). */
export interface DeviceCaches {
  /**
   * A graph of first, second, first_rows, second_rows that gives those rows of the first cache, then of the
   * second.
   */
  readonly join: Session;
  /** The runtime's name of the memory; `Cpu` takes the same way on the host. */
  readonly memory: 'Cuda' | 'WebGPU_Buffer' | 'Cpu';
  /** Whether the CUDA plugin can reach that memory: its kernels then mask pixels and score logits there. */
  readonly kernels?: boolean;
}

/** All that is needed to score any cell of one prepared sample: plain data and three sessions. */
export interface EvaluatorProgram {
  readonly vision: Session;
  readonly embed: Session;
  readonly decoder: Session;
  readonly wiring: DecoderWiring;
  readonly imagePlayers: number;
  readonly textPlayers: number;
  readonly pixelInput: string;
  readonly featureOutput: string;
  /** The pixel input of the full image and of the image with every player absent, row-major. */
  readonly pixels: Float32Array;
  readonly baselinePixels: Float32Array;
  readonly pixelShape: readonly number[];
  /** Image player of every element of the pixel input, -1 for none. */
  readonly pixelPlayers: Int32Array;
  /** The other inputs of the vision graph for one image state. */
  readonly visionFeeds: Readonly<Record<string, TensorArray>>;
  /** The prompt with one placeholder per image feature, then the answer tokens before the last scored one. */
  readonly tokenIds: Int32Array;
  /** Position of every image feature in `tokenIds`, in feature order. */
  readonly imagePositions: Int32Array;
  /** Position of every text player in `tokenIds`. */
  readonly textPositions: Int32Array;
  readonly padTokenId: number;
  readonly textMasking: 'remove' | 'attend';
  /**
   * Whether removed tokens must be left out of the sequence because the decoder overlooks holes in its mask.
   */
  readonly leaveOut?: boolean;
  /** position_ids of every token, [axes, tokens]; ignored where the decoder takes none. */
  readonly positions: Int32Array;
  /** The scored answer tokens, predicted by the last `targets.length` rows of the logits. */
  readonly targets: Int32Array;
  /** Column of the decision token. */
  readonly decision: number;
  readonly costs?: ModelCosts;
  /**
   * Tokens in the vision tower's attention, and the tiles that attend to themselves only. Default: the
   * features, one.
   */
  readonly visionTokens?: number;
  readonly visionTiles?: number;
  /**
   * What decides how the three sessions compute: files and providers. Needed to keep scores beyond the
   * process.
   */
  readonly modelContent?: string;
  /** Tokens that a decoder attends to at most, counting back from each, where it has such a window. */
  readonly attentionWindow?: number;
  /** What stands against a cheaper way whatever a trial of the sessions would say. */
  readonly fallbacks?: readonly Fallback[];
  /** Where caches can stay on a device. */
  readonly deviceCaches?: DeviceCaches | undefined;
}

/** How cells are run, and why not in the cheapest way. */
export interface EvaluationPath {
  readonly mode: ProgramMode;
  readonly fallbacks: readonly Fallback[];
}

/** How cells are run; every choice gives the same values. */
export interface ProgramMode {
  /** Tokens run once per image state; 0 runs every cell as a full pass. */
  readonly prefixLength: number;
  /** Whether absent tokens are left out of the sequence instead of masked. */
  readonly compact: boolean;
  /**
   * Whether sequences that differ in length for that reason share a run, the shorter ones behind masked
   * padding.
   */
  readonly padded?: boolean;
  /** Whether caches stay in the memory that the program names. */
  readonly onDevice?: boolean;
  /** Whether pixels are masked and logits scored there as well. */
  readonly deviceKernels?: boolean;
}

/**
 * Number of tokens before the first one that text players or scored rows need: what every cell of an image
 * state shares.
 */
export function sharedPrefixLength(program: EvaluatorProgram): number {
  let first = program.tokenIds.length - program.targets.length;
  for (const position of program.textPositions) first = Math.min(first, position);
  return Math.max(0, first);
}

/** Hands the program to native code. @throws FsynError MODEL_CONTRACT, INVALID_ARGUMENT */
export function createNativeProgram(program: EvaluatorProgram, mode: ProgramMode): NativeHandle {
  const { vision, embed, decoder, wiring } = program;
  const input = (name: string | undefined) =>
    name === undefined ? -1 : required(decoder.inputs, name, 'the decoder has no input');
  const positionInput = input(wiring.positions);
  const description: NativeProgram = {
    vision: vision.handle,
    embed: embed.handle,
    decoder: decoder.handle,
    pixelInput: required(vision.inputs, program.pixelInput, 'the vision graph has no input'),
    featureOutput: required(vision.outputs, program.featureOutput, 'the vision graph has no output'),
    pixelShape: Int32Array.from(program.pixelShape),
    pixels: program.pixels,
    baselinePixels: program.baselinePixels,
    pixelPlayers: program.pixelPlayers,
    visionConstants: visionConstants(program),
    tokenIds: program.tokenIds,
    imagePositions: program.imagePositions,
    textPositions: program.textPositions,
    padTokenId: program.padTokenId,
    removeAbsent: program.textMasking === 'remove',
    ...positionsFor(program, positionInput),
    targets: program.targets,
    embedsInput: input(wiring.embeds),
    maskInput: input(wiring.mask),
    positionInput,
    keepInput: input(wiring.keep),
    rowsInput: input(wiring.rows),
    branchInput: input(wiring.branch),
    logitsOutput: required(decoder.outputs, wiring.logits, 'the decoder has no output'),
    cacheInputs: Int32Array.from(wiring.caches, (cache) => input(cache.input)),
    cacheOutputs: Int32Array.from(wiring.caches, (cache) =>
      required(decoder.outputs, cache.output, 'the decoder has no output'),
    ),
    prefixLength: mode.prefixLength,
    compact: mode.compact,
    padded: mode.padded === true,
    ...(mode.onDevice &&
      program.deviceCaches && {
        deviceCaches: {
          join: program.deviceCaches.join.handle,
          memory: program.deviceCaches.memory,
          kernels: mode.deviceKernels === true,
        },
      }),
  };
  return addon().createProgram(description);
}

function required(tensors: readonly TensorInfo[], name: string, problem: string): number {
  const index = tensors.findIndex((tensor) => tensor.name === name);
  if (index >= 0) return index;
  const names = tensors.map((tensor) => tensor.name).join(', ');
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected ${JSON.stringify(name)}, but ${problem} of that name: ${names}.`,
  );
}

function visionConstants({
  vision,
  visionFeeds,
  pixelInput,
}: EvaluatorProgram): NativeProgram['visionConstants'] {
  return Object.entries(visionFeeds)
    .filter(([name]) => name !== pixelInput)
    .map(([name, feed]) => {
      const input = required(vision.inputs, name, 'the vision graph has no input');
      const type = TYPE_NUMBERS[vision.inputs[input].elementType];
      if (type === undefined) {
        throw new FsynError(
          'MODEL_CONTRACT',
          `The vision input ${JSON.stringify(name)} has an element type that cannot be fed.`,
        );
      }
      return { input, type, shape: Int32Array.from(feed.shape), data: feed.data as TensorData };
    });
}

const TYPE_NUMBERS: Readonly<Record<string, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
};

/** Positions for the axes that the input has: a decoder with three may be given one that serves all. */
function positionsFor(
  { decoder, positions, tokenIds }: EvaluatorProgram,
  input: number,
): { positionAxes: number; positions: Int32Array } {
  if (input < 0) return { positionAxes: 0, positions: new Int32Array() };
  const axes = decoder.inputs[input].shape.length === 3 ? 3 : 1;
  const given = positions.length / tokenIds.length;
  if (given === axes) return { positionAxes: axes, positions };
  const repeated = new Int32Array(axes * tokenIds.length);
  for (let axis = 0; axis < axes; axis++) {
    repeated.set(positions.subarray(0, tokenIds.length), axis * tokenIds.length);
  }
  return { positionAxes: axes, positions: repeated };
}
