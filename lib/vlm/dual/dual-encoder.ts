import { FsynError, invalidArgument } from '../../errors.js';
import { defaultBudget } from '../../inference/evaluator.js';
import { Once } from '../../lease.js';
import { EXPORTED } from '../../onnx/exported.js';
import { fingerprint, type ModelDirectory } from '../files/directory.js';
import type { DtypeChoice } from '../files/dtypes.js';
import { baselineImage } from '../images/baseline.js';
import { checkImage } from '../images/decode.js';
import { patchGrid, patchPlayers } from '../images/grid.js';
import { ClipImageProcessor, imageProcessorConfig, type ProcessedImage } from '../images/processor.js';
import { Fields, isObject, type JsonObject } from '../json.js';
import { resolvePrepareOptions } from '../options.js';
import { checkQuestion } from '../text/prompt.js';
import { TextTokenizer } from '../text/tokenizer.js';
import type { PreparedSample, PrepareOptions, RgbImage, Vlm } from '../types.js';
import { type CaptionStyle, encodeCaption } from './caption.js';
import { DualSample } from './sample.js';
import { captionFeeds, type EncodedCaption, loadTowers, type Towers } from './towers.js';

/** What tells the families of dual encoders apart. */
interface DualFamily {
  /** Whether a cell is worth the sigmoid of the model's logit instead of the cosine. */
  readonly sigmoid: boolean;
  /** Whether captions are padded to the full length with attended pads. */
  readonly padded: boolean;
  /** Whether the vision tower has a class token. */
  readonly classToken: boolean;
  /** Defaults of the Hugging Face configuration classes, which saved configurations leave out. */
  readonly patch: number;
  readonly textLength: number;
  readonly imageProcessor: JsonObject;
}

const families: Readonly<Record<string, DualFamily>> = {
  clip: {
    sigmoid: false,
    padded: false,
    classToken: true,
    patch: 32,
    textLength: 77,
    imageProcessor: {},
  },
  siglip: {
    sigmoid: true,
    padded: true,
    classToken: false,
    patch: 16,
    textLength: 64,
    imageProcessor: {
      do_center_crop: false,
      size: { height: 224, width: 224 },
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    },
  },
};

/** The `model_type`s of dual encoders. */
export const dualFamilies: readonly string[] = Object.keys(families);

export interface DualOptions {
  readonly dtype: DtypeChoice;
  readonly providers: readonly string[];
  readonly threads: number;
  readonly memory: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023): an image tower and a text tower whose embeddings'
 * similarity is the score. The question is a caption; there is no answer.
 */
export class DualEncoder implements Vlm {
  readonly name: string;
  readonly architecture: string;
  readonly fingerprint: string;
  readonly #family: DualFamily;
  readonly #towers: Towers;
  readonly #tokenizer: TextTokenizer;
  readonly #processor: ClipImageProcessor;
  readonly #style: CaptionStyle;
  readonly #patch: number;
  readonly #memory: number;
  readonly #overlooksMask = new Once<boolean>();
  #disposed = false;

  private constructor(
    directory: ModelDirectory,
    type: string,
    tokenizer: TextTokenizer,
    style: CaptionStyle,
    towers: Towers,
    identity: { readonly name: string; readonly fingerprint: string; readonly memory: number },
  ) {
    this.name = identity.name;
    this.architecture = type;
    this.fingerprint = identity.fingerprint;
    this.#family = families[type];
    this.#towers = towers;
    this.#tokenizer = tokenizer;
    this.#style = style;
    const processing = imageProcessorConfig(directory);
    this.#processor = new ClipImageProcessor({ ...this.#family.imageProcessor, ...processing });
    this.#patch = part(directory, 'vision_config').positive('patch_size', this.#family.patch);
    this.#memory = identity.memory;
  }

  /**
   * @param type `model_type` of the configuration, one of `dualFamilies`
   * @throws FsynError MODEL_FILE, MODEL_CONTRACT, TOKENIZER as `loadVlm`
   */
  static async load(
    directory: ModelDirectory,
    type: string,
    name: string,
    options: DualOptions,
  ): Promise<DualEncoder> {
    const family = families[type];
    const tokenizer = new TextTokenizer(directory.tokenizer, directory.tokenizerConfig);
    const style = captionStyle(directory, tokenizer, family);
    const { dtype, providers, threads, signal } = options;
    const probe = (length: number | undefined) => probeCaption(tokenizer, style, length);
    const towers = await loadTowers(directory.path, probe, family.sigmoid, {
      dtype,
      providers,
      threads,
      signal,
    });
    try {
      if (family.sigmoid && towers.head === undefined) {
        throw new FsynError(
          'MODEL_FILE',
          `Expected onnx/model.onnx in ${JSON.stringify(directory.path)}: the scale and bias of SigLIP's sigmoid are in no other ` +
            'file, and without them its towers give no score.',
        );
      }
      return new DualEncoder(directory, type, tokenizer, style, towers, {
        name,
        fingerprint: await fingerprint(directory.path, towers.paths),
        memory: options.memory ?? defaultBudget(),
      });
    } catch (error) {
      disposeTowers(towers);
      throw error;
    }
  }

  /**
   * @param question the caption
   * @throws FsynError INVALID_ARGUMENT for options that need an answer, UNSUPPORTED_MODEL for a text masking
   *   that the export cannot carry out, CONTEXT_LENGTH, TOKENIZER, BUDGET
   */
  async prepare(image: RgbImage, question: string, given?: PrepareOptions): Promise<PreparedSample> {
    if (this.#disposed) throw new FsynError('DISPOSED', `The model ${this.name} has been disposed.`);
    checkImage(image);
    const options = resolvePrepareOptions(given);
    checkQuestion(question, options.instruction);
    const { signal, instruction } = options;
    signal?.throwIfAborted();
    for (const key of ['answer', 'choices'] as const) {
      if (options[key] !== undefined)
        throw invalidArgument(
          key,
          'none for a dual encoder, which scores a caption and answers nothing',
          options[key],
        );
    }
    const textMasking = await this.#textMasking(given?.textMasking, signal);
    const caption = encodeCaption(
      this.#tokenizer,
      this.#style,
      question,
      instruction,
      options.includeInstruction,
      this.#towers.text.extent(EXPORTED.tokens, 1),
    );
    const seen = await this.#encode(image, signal);
    const absent = await this.#encode(await baselineImage(image, options, signal), signal);
    const imagePlayers = patchGrid(this.#patch, seen);
    return DualSample.create(
      this.#towers,
      {
        image,
        question,
        prompt: question + instruction,
        caption,
        padTokenId: this.#style.padTokenId,
        textMasking,
        views: [seen.view],
        pixels: seen.planes,
        baselinePixels: absent.planes,
        height: seen.height,
        width: seen.width,
        pixelPlayers: patchPlayers(seen.height, seen.width, this.#patch),
        imagePlayers,
        visionTokens: imagePlayers.count + (this.#family.classToken ? 1 : 0),
        head: this.#family.sigmoid ? this.#towers.head : undefined,
        memory: this.#memory,
      },
      signal,
    );
  }

  async #encode(image: RgbImage, signal: AbortSignal | undefined): Promise<ProcessedImage> {
    const processed = await this.#processor.process(image, signal);
    const wanted = [2, 3].map((axis) => this.#towers.image.extent(EXPORTED.pixels, axis));
    const found = [processed.height, processed.width];
    if (wanted.some((extent, i) => extent !== undefined && extent !== found[i])) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `The image processor gives ${found.join(' x ')} pixels but ${JSON.stringify(this.#towers.image.graph.path)} takes ${wanted.join(' x ')}.`,
      );
    }
    return processed;
  }

  /** The family's own way where none is asked for; what the export cannot do is refused, never replaced. */
  async #textMasking(
    wanted: 'remove' | 'attend' | undefined,
    signal: AbortSignal | undefined,
  ): Promise<'remove' | 'attend'> {
    const masking = wanted ?? (this.#family.padded ? 'attend' : 'remove');
    const { path } = this.#towers.text.graph;
    if (masking === 'attend') {
      if (this.#family.padded || this.#style.padTokenId !== this.#tokenizer.eosTokenId) return masking;
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        'textMasking "attend" needs a pad token of its own: this model pads with its end token, and a second one moves the ' +
          'place at which the embedding is read. Use "remove".',
      );
    }
    if (this.#family.padded) {
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        'textMasking "remove" needs a text tower that can overlook tokens; SigLIP attends to its pads. Use "attend".',
      );
    }
    if (!this.#towers.text.takes(EXPORTED.mask)) {
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        `textMasking "remove" needs the input attention_mask, which ${JSON.stringify(path)} does not have. Use onnx/model.onnx, or ` +
          'a text_model.onnx exported with it.',
      );
    }
    if (await this.#overlooksMask.get(() => this.#tryMask(signal))) {
      throw new FsynError(
        'UNSUPPORTED_MODEL',
        `textMasking "remove" needs a text tower that heeds attention_mask; ${JSON.stringify(path)} reads tokens that are masked.`,
      );
    }
    return masking;
  }

  /** Whether a token's id still counts when it is masked, tried on one short caption. */
  async #tryMask(signal: AbortSignal | undefined): Promise<boolean> {
    const { text } = this.#towers;
    const caption = probeCaption(this.#tokenizer, this.#style, text.extent(EXPORTED.tokens, 1));
    const attention = caption.attention.slice();
    attention[1] = 0;
    const other = caption.ids.slice();
    other[1] = caption.ids[2];
    const run = async (ids: Int32Array) =>
      (await text.embed(captionFeeds(text, [{ ids, attention }]), 1, signal))[0];
    const [as, or] = [await run(caption.ids), await run(other)];
    // Components of vectors of length 1; half precision leaves three digits.
    return as.some((value, i) => Math.abs(value - or[i]) > 2e-3);
  }

  dispose(): void {
    this.#disposed = true;
    disposeTowers(this.#towers);
  }
}

function disposeTowers({ image, text }: Towers): void {
  image.graph.session.dispose();
  text.graph.session.dispose();
}

function part({ config }: ModelDirectory, key: string): Fields {
  const value = config[key];
  return new Fields(isObject(value) ? value : {}, `config.json ${key}`);
}

function captionStyle(directory: ModelDirectory, tokenizer: TextTokenizer, family: DualFamily): CaptionStyle {
  const text = part(directory, 'text_config');
  const padTokenId = tokenizer.padTokenId ?? tokenizer.eosTokenId;
  if (padTokenId === undefined) {
    throw new FsynError('TOKENIZER', 'Expected a pad_token or eos_token in tokenizer_config.json.');
  }
  const length = text.positive('max_position_embeddings', family.textLength);
  return { length, padded: family.padded, padTokenId };
}

/** Two different words, to try the text tower on. */
function probeCaption(tokenizer: TextTokenizer, style: CaptionStyle, fixed?: number): EncodedCaption {
  return encodeCaption(tokenizer, style, 'a cat', '', false, fixed);
}
