import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { FsynError, invalidArgument } from '../errors.js';
import { defaultBudget } from '../inference/evaluator.js';
import { Session } from '../inference/session.js';
import { resolveOptions } from '../options.js';
import { Classifier, isManifestPath } from './classifier/classifier.js';
import { manifestName } from './classifier/manifest.js';
import type { Architecture } from './decoder/architecture.js';
import { Idefics3 } from './decoder/architectures/idefics3.js';
import { InternVl } from './decoder/architectures/internvl.js';
import { Llava } from './decoder/architectures/llava.js';
import { QwenVl } from './decoder/architectures/qwen-vl.js';
import { deviceCaches } from './decoder/cache-join.js';
import { editDecoder, loadGraph, readGraph } from './decoder/file.js';
import { DecoderGraph, rowsInput } from './decoder/graph.js';
import { EmbedGraph, VisionGraph } from './decoder/graphs.js';
import { DecoderVlm } from './decoder/vlm.js';
import { DualEncoder, dualFamilies } from './dual/dual-encoder.js';
import type { Graph } from './files/contract.js';
import { matrixCosts } from './files/costs.js';
import {
  type DtypeChoice,
  fingerprint,
  locatePart,
  type ModelDirectory,
  openModelDirectory,
} from './files/directory.js';
import { Fields, isObject } from './json.js';
import { ChatTemplate } from './text/chat.js';
import { TextTokenizer } from './text/tokenizer.js';
import type { Vlm } from './types.js';

export interface LoadVlmOptions {
  /** What results call the model. Default: the directory's name. */
  readonly name?: string;
  /** Number format of the model files. Default: `auto`, the most precise that is there. */
  readonly dtype?: DtypeChoice;
  /** Execution providers in order of preference. Default: `['cpu']`. */
  readonly providers?: readonly string[];
  /** Threads for inference; the number never changes a result. Default: 1. */
  readonly threads?: number;
  /**
   * Bytes that scoring may use beside the model's weights. Default: a quarter of the machine's memory. A sample that does not
   * fit is refused by `prepare` with the code BUDGET.
   */
  readonly memory?: number;
  /** Qwen-VL: largest area of the resized image in pixels, instead of the configuration's (the paper: 313 600). */
  readonly maxPixels?: number;
  /** InternVL: most tiles beside the thumbnail, instead of the configuration's (the paper: 2). */
  readonly maxTiles?: number;
  readonly signal?: AbortSignal;
}

const defaults = {
  name: undefined as string | undefined,
  dtype: 'auto' as DtypeChoice,
  providers: ['cpu'] as readonly string[],
  threads: 1,
  memory: undefined as number | undefined,
  maxPixels: undefined as number | undefined,
  maxTiles: undefined as number | undefined,
  signal: undefined as AbortSignal | undefined,
};

/**
 * Loads a vision-language model: a directory as the transformers.js ecosystem ships them, or a classifier's manifest
 * (the path of a .json file, or of a directory with classifier.json and no config.json).
 *
 * @example
 * const vlm = await loadVlm('models/llava-1.5-7b');
 * const sample = await vlm.prepare(await decodeImage('dog.jpg'), 'Is there a dog?');
 *
 * @throws FsynError MODEL_FILE (missing, truncated), MODEL_CONTRACT (files that do not fit together or lack a tensor),
 *   UNSUPPORTED_MODEL, TOKENIZER, PROVIDER_UNAVAILABLE
 */
export async function loadVlm(directory: string, given?: LoadVlmOptions): Promise<Vlm> {
  const options = resolveOptions('loadVlm', defaults, given as Partial<typeof defaults> | undefined);
  for (const key of ['maxPixels', 'maxTiles'] as const) {
    const value = options[key];
    if (value !== undefined && !(Number.isInteger(value) && value >= 1)) {
      throw invalidArgument(key, 'an integer >= 1', value);
    }
  }
  if (options.memory !== undefined && !(Number.isFinite(options.memory) && options.memory > 0)) {
    throw invalidArgument('memory', 'a number of bytes > 0', options.memory);
  }
  if (isManifestPath(directory)) return Classifier.load(directory, options);
  const manifest = join(directory, manifestName);
  if (!existsSync(join(directory, 'config.json')) && existsSync(manifest))
    return Classifier.load(manifest, options);
  const opened = await openModelDirectory(directory);
  const type = new Fields(opened.config, 'config.json').string('model_type', '');
  if (dualFamilies.includes(type)) {
    return DualEncoder.load(opened, type, options.name ?? basename(resolve(directory)), options);
  }
  const tokenizer = new TextTokenizer(opened.tokenizer, opened.tokenizerConfig);
  const family = findFamily(opened);
  const token = imageToken(opened, tokenizer);
  const template = chatTemplate(opened);
  const files = {
    vision: await locatePart(directory, 'vision_encoder', options.dtype),
    embed: await locatePart(directory, 'embed_tokens', options.dtype),
    decoder: await locatePart(directory, 'decoder_model_merged', options.dtype),
  };
  const open: Session[] = [];
  const { providers, signal } = options;
  const decoderFile = await readGraph(files.decoder.path);
  const editedDecoder = await editDecoder(decoderFile, options.signal);
  const decoderCosts = matrixCosts(editedDecoder.graph, 'logits', rowsInput);
  // Small models are run side by side, one thread each; of a large one a single pass can keep every core busy, and
  // generation is then as fast as scoring. Neither changes a byte of a result. A device takes one pass after the other.
  const large = decoderCosts.weights > largeModel;
  const sessionOptions = {
    providers,
    threads: large ? options.threads : 1,
    signal,
  };
  const load = async (
    { path }: { path: string },
    session = Session.load(path, sessionOptions),
  ): Promise<Graph> => {
    open.push(await session);
    return { session: await session, path };
  };
  try {
    const tower = await load(files.vision);
    const visionInputs = tower.session.inputs.map(({ name }) => name);
    const architecture = family(opened, token, visionInputs, options);
    const vision = new VisionGraph(tower, architecture.pixelInput, architecture.extraInputs);
    const embed = new EmbedGraph(await load(files.embed));
    const decoder = new DecoderGraph(
      await load(files.decoder, loadGraph(decoderFile, editedDecoder, sessionOptions)),
    );
    const device = await deviceCaches(decoder, providers, signal);
    if (device !== undefined) open.push(device.join);
    const visionFile = await readGraph(files.vision.path);
    const paths = [files.vision.path, files.embed.path, files.decoder.path];
    const hash = await fingerprint(directory, paths);
    const parts = {
      directory: opened,
      architecture,
      vision,
      embed,
      decoder,
      tokenizer,
      template,
      workers: large || providers[0] !== 'cpu' ? 1 : options.threads,
      memory: options.memory ?? defaultBudget(),
      deviceCaches: device,
      content: `${hash} on ${providers.join()}`,
      costs: {
        vision: matrixCosts(visionFile.graph),
        decoder: decoderCosts,
      },
    };
    const name = options.name ?? basename(resolve(directory));
    return new DecoderVlm(parts, name, hash);
  } catch (error) {
    for (const session of open) session.dispose();
    throw error;
  }
}

/** Weights of a decoder from which on its passes are run one at a time on all threads. */
const largeModel = 5e8;

type Family = (
  directory: ModelDirectory,
  imageToken: string,
  visionInputs: readonly string[],
  options: typeof defaults,
) => Architecture;

const qwen =
  (name: string): Family =>
  (directory, token, visionInputs, { maxPixels }) =>
    new QwenVl(directory, name, token, visionInputs, maxPixels);

const idefics =
  (name: string): Family =>
  (directory, token, visionInputs) =>
    new Idefics3(directory, name, token, visionInputs);

/** Families by config.json's model_type. Adding one is one file in architectures/ and one line here. */
const families: Readonly<Record<string, Family>> = {
  llava: (directory, token) => new Llava(directory, token),
  qwen2_vl: qwen('qwen2_vl'),
  qwen2_5_vl: qwen('qwen2_5_vl'),
  internvl: (directory, token, _, { maxTiles }) => new InternVl(directory, token, maxTiles),
  idefics3: idefics('idefics3'),
  smolvlm: idefics('smolvlm'),
};

function findFamily(directory: ModelDirectory): Family {
  const type = new Fields(directory.config, 'config.json').string('model_type', '');
  if (Object.hasOwn(families, type)) return families[type];
  throw new FsynError(
    'UNSUPPORTED_MODEL',
    `Unknown model_type ${JSON.stringify(type)} in config.json; supported: ${[...Object.keys(families), ...dualFamilies].join(', ')}.`,
  );
}

function imageToken(directory: ModelDirectory, tokenizer: TextTokenizer): string {
  const { config, processor } = directory;
  const id = config.image_token_id ?? config.image_token_index;
  if (typeof id === 'number') return tokenizer.tokenString(id);
  if (typeof processor?.image_token === 'string') return processor.image_token;
  throw new FsynError(
    'MODEL_CONTRACT',
    'Expected image_token_id or image_token_index in config.json; neither is there.',
  );
}

function chatTemplate(directory: ModelDirectory): ChatTemplate {
  if (directory.chatTemplate === undefined) {
    throw new FsynError(
      'MODEL_FILE',
      'Expected a chat template in chat_template.jinja, chat_template.json, processor_config.json or tokenizer_config.json; ' +
        'none has one.',
    );
  }
  const tokens: Record<string, string> = {};
  for (const key of ['bos_token', 'eos_token', 'pad_token', 'unk_token']) {
    const value = directory.tokenizerConfig[key];
    const content = isObject(value) ? value.content : value;
    if (typeof content === 'string') tokens[key] = content;
  }
  return new ChatTemplate(directory.chatTemplate, tokens);
}
