import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { checkBytes, checkInteger } from '../checks.js';
import { resolveOptions } from '../options.js';
import { Classifier, isManifestPath } from './classifier/classifier.js';
import { manifestName } from './classifier/manifest.js';
import { mostTiles } from './decoder/architectures/internvl.js';
import { loadDecoderVlm } from './decoder/load.js';
import { DualEncoder, dualFamilies } from './dual/dual-encoder.js';
import { openModelDirectory } from './files/directory.js';
import { checkDtype, type DtypeChoice } from './files/dtypes.js';
import { Fields } from './json.js';
import { checkProvider } from './provider-check.js';
import type { Vlm } from './types.js';

export interface LoadVlmOptions {
  /** What results call the model. Default: the directory's name. */
  readonly name?: string;
  /** Number format of the model files. Default: `auto`, the most precise that is there. */
  readonly dtype?: DtypeChoice;
  /**
   * Execution providers in order of preference. With another than `cpu` first, the model is loaded on the
   * processor, too, for four cells that are compared (`Vlm.providerCheck`). Default: `['cpu']`.
   */
  readonly providers?: readonly string[];
  /** Threads for inference; the number never changes a result. Default: 1. */
  readonly threads?: number;
  /**
   * Bytes that scoring may use beside the model's weights. Default: a quarter of the machine's memory. A
   * sample that does not fit is refused by `prepare` with the code BUDGET.
   */
  readonly memory?: number;
  /**
   * Qwen-VL: largest area of the resized image in pixels, instead of the configuration's (the paper: 313
   * 600).
   */
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
 * Loads a vision-language model: a directory as the transformers.js ecosystem ships them, or a classifier's
 * manifest (the path of a .json file, or of a directory with classifier.json and no config.json).
 *
 * @example
 * const vlm = await loadVlm('models/llava-1.5-7b');
 * const sample = await vlm.prepare(await decodeImage('dog.jpg'), 'Is there a dog?');
 *
 * @throws FsynError MODEL_FILE (missing, truncated), MODEL_CONTRACT (files that do not fit together or lack a
 *   tensor), UNSUPPORTED_MODEL, TOKENIZER, PROVIDER_UNAVAILABLE, PROVIDER_INEXACT (another provider than the
 *   processor first, whose scores of four cells are too far from the processor's)
 */
export async function loadVlm(directory: string, given?: LoadVlmOptions): Promise<Vlm> {
  const options = resolveOptions('loadVlm', defaults, given as Partial<typeof defaults> | undefined);
  if (options.maxPixels !== undefined) checkInteger('maxPixels', options.maxPixels, 1);
  if (options.maxTiles !== undefined) checkInteger('maxTiles', options.maxTiles, 1, mostTiles);
  checkBytes('memory', options.memory);
  checkDtype(options.dtype);
  const vlm = await open(directory, options);
  const { providers, signal } = options;
  if (providers[0] === 'cpu') return vlm;
  let processor: Vlm | undefined;
  try {
    processor = await open(directory, { ...options, providers: ['cpu'] });
    return Object.assign(vlm, { providerCheck: await checkProvider(vlm, processor, providers, signal) });
  } catch (error) {
    vlm.dispose();
    throw error;
  } finally {
    processor?.dispose();
  }
}

async function open(directory: string, options: typeof defaults): Promise<Vlm> {
  if (isManifestPath(directory)) return Classifier.load(directory, options);
  const manifest = join(directory, manifestName);
  if (!existsSync(join(directory, 'config.json')) && existsSync(manifest))
    return Classifier.load(manifest, options);
  const opened = await openModelDirectory(directory);
  const type = new Fields(opened.config, 'config.json').string('model_type', '');
  if (dualFamilies.includes(type)) {
    return DualEncoder.load(opened, type, options.name ?? basename(resolve(directory)), options);
  }
  return loadDecoderVlm(opened, options, dualFamilies);
}
