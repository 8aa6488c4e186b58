import { dirname, resolve } from 'node:path';
import { FsynError } from '../../errors.js';
import { checkExtent } from '../images/limits.js';
import type { Normalisation } from '../images/normalise.js';
import type { Resampling } from '../images/resample.js';
import { Fields, isObject, readJsonObject } from '../json.js';

/** Marks a manifest and its version. */
const manifestFormat = 'fsyn-classifier-1';
/** The file that loadVlm looks for in a directory without config.json. */
export const manifestName = 'classifier.json';

export interface ClassifierImage {
  readonly input: string;
  readonly layout: 'NCHW' | 'NHWC';
  readonly height: number;
  readonly width: number;
  readonly resample: Resampling;
  readonly normalisation: Normalisation;
  /** Grid of image players. */
  readonly rows: number;
  readonly columns: number;
}

export interface ClassifierQuestion {
  readonly input: string;
  readonly encoding: 'bag-of-words' | 'token-ids';
  /** Word to index; absent where a tokenizer.json gives the ids. */
  readonly vocabulary: ReadonlyMap<string, number> | undefined;
  /** Absolute path of a tokenizer.json. */
  readonly tokenizer: string | undefined;
  readonly lowercase: boolean;
  /** What a word is. */
  readonly pattern: RegExp;
  /** A word outside the vocabulary: an error, left out, or an id of its own. */
  readonly unknown: 'error' | 'skip' | number;
  /** Token ids: what fills up and what stands for an absent word. */
  readonly padId: number;
  /** Token ids: the fixed length of the input, where the graph does not take any. */
  readonly length: number | undefined;
  /** Token ids: input that takes 1 for tokens and 0 for padding. */
  readonly attentionInput: string | undefined;
}

/** Describes a model of an image and a question with one row of class logits. */
export interface ClassifierManifest {
  /** Absolute path of the manifest itself. */
  readonly path: string;
  readonly name: string | undefined;
  /** Absolute path of the model. */
  readonly model: string;
  readonly image: ClassifierImage;
  readonly question: ClassifierQuestion;
  readonly logits: string;
  readonly answers: readonly string[];
}

const mostPlayers = 2 ** 16;
const mostTokens = 2 ** 16;
/** Token ids are fed as int32. */
const largestId = 2 ** 31 - 1;
const resamplings: readonly Resampling[] = ['nearest', 'box', 'bilinear', 'hamming', 'bicubic', 'lanczos'];

/**
 * Reads and checks a manifest. @throws FsynError MODEL_FILE, MODEL_CONTRACT naming the key, what was
 * expected, what is there
 */
export async function readManifest(path: string): Promise<ClassifierManifest> {
  const absolute = resolve(path);
  const fields = new Fields(
    await readJsonObject(absolute, 'classifier manifest'),
    `manifest ${JSON.stringify(path)}`,
  );
  fields.allow('format', 'name', 'model', 'image', 'question', 'output');
  fields.oneOf('format', [manifestFormat]);
  const output = fields.object('output');
  output.allow('logits', 'answers');
  const answers = output.strings('answers');
  if (answers.length < 2 || new Set(answers).size !== answers.length) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected at least two different answers in manifest ${JSON.stringify(path)}.`,
    );
  }
  const folder = dirname(absolute);
  return {
    path: absolute,
    name: fields.has('name') ? fields.string('name') : undefined,
    model: resolve(folder, fields.string('model')),
    image: readImage(fields.object('image')),
    question: readQuestion(fields.object('question'), folder),
    logits: output.string('logits'),
    answers,
  };
}

function readImage(fields: Fields): ClassifierImage {
  fields.allow('input', 'layout', 'height', 'width', 'resample', 'scale', 'mean', 'std', 'rows', 'columns');
  const height = fields.positive('height');
  const width = fields.positive('width');
  const rows = fields.positive('rows');
  const columns = fields.positive('columns');
  checkExtent(height, width);
  if (rows * columns > mostPlayers) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected a grid of at most ${mostPlayers} players in the manifest, but found ${rows} x ${columns}.`,
    );
  }
  if (rows > height || columns > width) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `A grid of ${rows} x ${columns} players does not fit into an image of ${height} x ${width} pixels.`,
    );
  }
  const std = fields.numbers('std', 3, [1, 1, 1]);
  if (std.includes(0)) throw new FsynError('MODEL_CONTRACT', 'Expected std without zeros in the manifest.');
  return {
    input: fields.string('input'),
    layout: fields.oneOf('layout', ['NCHW', 'NHWC']),
    height,
    width,
    resample: fields.oneOf('resample', resamplings, 'bilinear'),
    normalisation: {
      scale: fields.number('scale', 1 / 255),
      mean: fields.numbers('mean', 3, [0, 0, 0]),
      std,
    },
    rows,
    columns,
  };
}

function readQuestion(fields: Fields, folder: string): ClassifierQuestion {
  const encoding = fields.oneOf('encoding', ['bag-of-words', 'token-ids']);
  const common = ['input', 'encoding', 'vocabulary', 'lowercase', 'pattern', 'unknown'];
  const tokens = ['tokenizer', 'padId', 'length', 'attentionInput'];
  fields.allow(...common, ...(encoding === 'token-ids' ? tokens : []));
  const usesTokenizer = fields.has('tokenizer');
  if (usesTokenizer === fields.has('vocabulary')) {
    throw new FsynError(
      'MODEL_CONTRACT',
      encoding === 'token-ids'
        ? 'Expected either a vocabulary or a tokenizer in the manifest.'
        : 'Expected a vocabulary in the manifest.',
    );
  }
  return {
    input: fields.string('input'),
    encoding,
    vocabulary: usesTokenizer ? undefined : readVocabulary(fields),
    tokenizer: usesTokenizer ? resolve(folder, fields.string('tokenizer')) : undefined,
    lowercase: fields.boolean('lowercase', true),
    pattern: readPattern(fields.string('pattern', '[\\p{L}\\p{N}]+')),
    unknown: readUnknown(fields, encoding),
    padId: encoding === 'token-ids' ? readPad(fields) : 0,
    length: fields.has('length') ? fields.positive('length', undefined, mostTokens) : undefined,
    attentionInput: fields.has('attentionInput') ? fields.string('attentionInput') : undefined,
  };
}

function readVocabulary(fields: Fields): ReadonlyMap<string, number> {
  const raw = fields.raw('vocabulary');
  const entries = isObject(raw) ? Object.entries(raw) : [];
  const valid = entries.filter((entry): entry is [string, number] => isId(entry[1]));
  if (entries.length === 0 || valid.length !== entries.length) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected an object of word: index from 0 to ${largestId} for vocabulary in the manifest.`,
    );
  }
  return new Map(valid);
}

function readPattern(source: string): RegExp {
  try {
    return new RegExp(source, 'gu');
  } catch (cause) {
    throw new FsynError('MODEL_CONTRACT', `Expected a regular expression for pattern in the manifest.`, {
      cause,
    });
  }
}

function readUnknown(fields: Fields, encoding: string): 'error' | 'skip' | number {
  const value = fields.raw('unknown') ?? 'error';
  if (value === 'error' || value === 'skip') return value;
  if (encoding === 'token-ids' && isId(value)) return value;
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected "error", "skip"${encoding === 'token-ids' ? ' or an id' : ''} for unknown in the manifest, but found ${JSON.stringify(value)}.`,
  );
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= largestId;
}

function readPad(fields: Fields): number {
  const value = fields.integer('padId');
  if (isId(value)) return value;
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected an id from 0 to ${largestId} for padId in the manifest, but found ${value}.`,
  );
}
