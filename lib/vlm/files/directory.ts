import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FsynError, invalidArgument } from '../../errors.js';
import { externalFiles } from '../../onnx/external-data.js';
import { readTextFile, refuseLfsPointer } from '../../text-file.js';
import { isMissing, type JsonObject, readJsonObject, readOptionalJsonObject } from '../json.js';
import { chatTemplateSource } from '../text/chat.js';
import { type Dtype, type DtypeChoice, dtypeOf, dtypes, type ModelPart, suffixes } from './dtypes.js';

/**
 * A model directory of the transformers.js ecosystem: configuration read, model files located but not loaded.
 */
export interface ModelDirectory {
  readonly path: string;
  readonly config: JsonObject;
  readonly generation: JsonObject | undefined;
  readonly preprocessor: JsonObject | undefined;
  readonly processor: JsonObject | undefined;
  readonly tokenizer: JsonObject;
  readonly tokenizerConfig: JsonObject;
  readonly chatTemplate: string | undefined;
}

/**
 * Reads the configuration files of a model directory. @throws FsynError MODEL_FILE naming the file that is
 * missing or damaged
 */
export async function openModelDirectory(path: string): Promise<ModelDirectory> {
  await requireDirectory(path);
  const optional = (name: string) => readOptionalJsonObject(join(path, name), name);
  const config = await readJsonObject(join(path, 'config.json'), 'config.json');
  const tokenizer = await readJsonObject(join(path, 'tokenizer.json'), 'tokenizer.json');
  const tokenizerConfig = (await optional('tokenizer_config.json')) ?? {};
  const processor = await optional('processor_config.json');
  const jinja = await readOptionalText(join(path, 'chat_template.jinja'));
  const chatJson = await optional('chat_template.json');
  return {
    path,
    config,
    generation: await optional('generation_config.json'),
    preprocessor: await optional('preprocessor_config.json'),
    processor,
    tokenizer,
    tokenizerConfig,
    chatTemplate: chatTemplateSource(jinja, chatJson, processor, tokenizerConfig),
  };
}

async function requireDirectory(path: string): Promise<void> {
  if (typeof path !== 'string' || path === '') throw invalidArgument('directory', 'a path', path);
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (cause) {
    throw new FsynError('MODEL_FILE', `The model directory ${JSON.stringify(path)} does not exist.`, {
      cause,
    });
  }
  throw new FsynError('MODEL_FILE', `Expected a model directory but ${JSON.stringify(path)} is a file.`);
}

async function readOptionalText(path: string): Promise<string | undefined> {
  try {
    return await readTextFile(path, { code: 'MODEL_FILE', what: 'the chat template' });
  } catch (error) {
    if (error instanceof FsynError && isMissing(error.cause)) return undefined;
    throw error;
  }
}

export interface PartFile {
  readonly path: string;
  readonly dtype: Dtype;
}

/**
 * The file of a part in the wanted number format, in `onnx/` or beside the configuration.
 *
 * @throws FsynError MODEL_FILE listing what is there instead
 */
export async function locatePart(directory: string, part: ModelPart, choice: DtypeChoice): Promise<PartFile> {
  const found = await findPart(directory, part, choice);
  if (found !== undefined) return found;
  const wanted = dtypeOf(part, choice);
  const present = await listModels(directory);
  const expected = wanted === 'auto' ? `${part}[_dtype].onnx` : `${part}${suffixes[wanted]}.onnx`;
  throw new FsynError(
    'MODEL_FILE',
    `Expected onnx/${expected} in ${JSON.stringify(directory)}; ` +
      (present.length === 0 ? 'there is no .onnx file.' : `there are: ${present.join(', ')}.`),
  );
}

/** As locatePart, but undefined where the part is not there. */
export async function findPart(
  directory: string,
  part: ModelPart,
  choice: DtypeChoice,
): Promise<PartFile | undefined> {
  const wanted = dtypeOf(part, choice);
  const folders = [join(directory, 'onnx'), directory];
  const listings = await Promise.all(folders.map(listFolder));
  for (const dtype of wanted === 'auto' ? dtypes : [wanted]) {
    const name = `${part}${suffixes[dtype]}.onnx`;
    for (const [i, folder] of folders.entries()) {
      if (!listings[i].includes(name)) continue;
      const path = join(folder, name);
      await refuseLfsPointer(path, { code: 'MODEL_FILE', what: 'the model file' });
      return { path, dtype };
    }
  }
  return undefined;
}

/** Names of the model files of a directory. */
export async function listModels(directory: string): Promise<string[]> {
  const listings = await Promise.all([join(directory, 'onnx'), directory].map(listFolder));
  return listings.flat().filter((name) => name.endsWith('.onnx'));
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw new FsynError('MODEL_FILE', `Cannot list ${JSON.stringify(folder)}.`, { cause });
  }
}

/** Files beyond this size are hashed by size and samples; weights of many gigabytes would take minutes. */
const fullHashLimit = 2 ** 30;
const sampleSize = 2 ** 20;
const samples = 64;

/**
 * SHA-256 over names and contents of the given model files, of the external data that their graphs name, and
 * of the directory's configuration. Of a file larger than 1 GiB, its size and 64 evenly spaced blocks of 1
 * MiB are hashed.
 */
export async function fingerprint(directory: string, models: readonly string[]): Promise<string> {
  const configuration = (await listFolder(directory))
    .filter((name) => name.endsWith('.json') || name.endsWith('.jinja'))
    .map((name) => join(directory, name));
  return fingerprintFiles(configuration, models);
}

/** As fingerprint, with the configuration files named one by one. */
export async function fingerprintFiles(
  configuration: readonly string[],
  models: readonly string[],
): Promise<string> {
  const files = configuration.map((path) => ({ name: basename(path), path }));
  for (const model of models) {
    const weights = await externalFiles(model);
    files.push(
      { name: basename(model), path: model },
      ...weights.map(({ location, path }) => ({ name: location, path })),
    );
  }
  const hash = createHash('sha256');
  for (const { name, path } of files) {
    hash.update(`${name}\n`);
    for await (const chunk of contents(path)) hash.update(chunk);
  }
  return hash.digest('hex');
}

async function* contents(file: string): AsyncGenerator<Buffer> {
  try {
    const { size } = await stat(file);
    yield Buffer.from(`${size}\n`);
    if (size <= fullHashLimit) {
      for await (const chunk of createReadStream(file)) yield chunk as Buffer;
      return;
    }
    const handle = await open(file);
    try {
      for (let i = 0; i < samples; i++) {
        const block = Buffer.alloc(sampleSize);
        await handle.read(block, 0, sampleSize, Math.floor(((size - sampleSize) * i) / (samples - 1)));
        yield block;
      }
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new FsynError('MODEL_FILE', `Cannot read ${JSON.stringify(file)}.`, { cause });
  }
}
