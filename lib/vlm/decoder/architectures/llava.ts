import { EXPORTED } from '../../../onnx/exported.js';
import type { ModelDirectory } from '../../files/directory.js';
import { patchGrid, patchPlayers } from '../../images/grid.js';
import { ClipImageProcessor, imageProcessorConfig } from '../../images/processor.js';
import { Fields, isObject } from '../../json.js';
import type { PromptStyle } from '../../text/prompt.js';
import type { RgbImage } from '../../types.js';
import { type Architecture, type ImageEncoding, runningPositions } from '../architecture.js';

/**
 * LLaVA-1.5 (Liu et al. 2023): a CLIP (or SigLIP) tower on one square image, a projector, a LLaMA decoder.
 * Every patch of the tower is one visual token and one image player.
 */
export class Llava implements Architecture {
  readonly name = 'llava';
  readonly pixelInput = EXPORTED.pixels;
  readonly extraInputs: readonly string[] = [];
  readonly prompt: PromptStyle;
  readonly #processor: ClipImageProcessor;
  readonly #patch: number;
  readonly #classToken: boolean;
  readonly #keepsClassToken: boolean;

  /** @param imageToken the token that config.json's image token id stands for */
  constructor(directory: ModelDirectory, imageToken: string) {
    const { config } = directory;
    const processing = imageProcessorConfig(directory);
    this.#processor = new ClipImageProcessor(processing, true);
    const vision = new Fields(
      isObject(config.vision_config) ? config.vision_config : {},
      'config.json vision_config',
    );
    this.#patch = vision.positive('patch_size', 14);
    this.#classToken = vision.string('model_type', 'clip_vision_model').startsWith('clip');
    const strategy = new Fields(config, 'config.json').oneOf(
      'vision_feature_select_strategy',
      ['default', 'full'],
      'default',
    );
    this.#keepsClassToken = this.#classToken && strategy === 'full';
    this.prompt = {
      imagePlaceholder: imageToken,
      imageToken,
      userAnchor: 'USER:',
      assistantAnchor: 'ASSISTANT:',
    };
  }

  async encode(image: RgbImage, signal?: AbortSignal): Promise<ImageEncoding> {
    const processed = await this.#processor.process(image, signal);
    const { planes, height, width } = processed;
    const players = patchGrid(this.#patch, processed);
    const cells = Array.from({ length: players.count }, (_, i) => i);
    const features = this.#keepsClassToken ? [-1, ...cells] : cells;
    return {
      pixels: planes,
      views: [processed.view],
      pixelShape: [1, 3, height, width],
      extras: {},
      players,
      pixelPlayers: patchPlayers(height, width, this.#patch),
      featurePlayers: Int32Array.from(features),
      visionTokenPlayers: Int32Array.from(this.#classToken ? [-1, ...cells] : cells),
      promptText: this.prompt.imageToken.repeat(features.length),
    };
  }

  positions(ids: Int32Array): Int32Array {
    return runningPositions(ids);
  }
}
