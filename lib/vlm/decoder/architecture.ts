import type { PromptStyle } from '../text/prompt.js';
import type { ImagePlayers, RgbImage } from '../types.js';

/**
 * An image as the vision graph takes it, and whose every element is. Depends on the image's size and pixels
 * only.
 */
export interface ImageEncoding {
  /** The pixel input, row-major. */
  readonly pixels: Float32Array;
  readonly pixelShape: readonly number[];
  /** What the pixel input shows, before normalisation: one picture, or one for each tile. */
  readonly views: readonly RgbImage[];
  /** Further integer inputs of the vision graph, such as the patch grid. */
  readonly extras: Readonly<
    Record<string, { readonly values: Int32Array; readonly shape: readonly number[] }>
  >;
  readonly players: ImagePlayers;
  /** Image player of every element of `pixels`, -1 for none. */
  readonly pixelPlayers: Int32Array;
  /** Image player of every image feature in the order of the vision graph's output, -1 for none. */
  readonly featurePlayers: Int32Array;
  /** Image player of every token in the vision tower's attention, -1 for class tokens. */
  readonly visionTokenPlayers: Int32Array;
  /**
   * What the processor writes into the prompt in the image placeholder's place: one image token per feature.
   */
  readonly promptText: string;
}

/**
 * What tells one family of vision-language models from another; everything else is shared (vlm.ts).
 * A new family is one file that implements this.
 *
 * Contract: `encode` depends on nothing but the image; two images of one size get the same players and
 * shapes, so that an absent player's elements can be taken from the encoded baseline. Every element of the
 * pixel input that can change the features belongs to exactly one player. Feature i is what the i-th image
 * token of the prompt stands for.
 */
export interface Architecture {
  readonly name: string;
  /** Name of the vision graph's input that takes the pixels. */
  readonly pixelInput: string;
  /** Names of the vision graph's further inputs, which `encode` gives in `extras`. */
  readonly extraInputs: readonly string[];
  readonly prompt: PromptStyle;
  encode(image: RgbImage, signal?: AbortSignal): Promise<ImageEncoding>;
  /**
   * Position of every token on full input; a masked token keeps its own.
   *
   * @param ids prompt and answer
   * @param imagePositions positions of the image tokens in `ids`
   * @returns [axes, ids.length]
   */
  positions(ids: Int32Array, imagePositions: Int32Array, encoding: ImageEncoding): Int32Array;
}

/** 0, 1, 2, ...: the positions of models without an image geometry of their own. */
export function runningPositions(ids: Int32Array): Int32Array {
  return Int32Array.from(ids.keys());
}
