import { describe, FsynError } from '../errors.js';
import { parseJson, readTextFile } from '../text-file.js';

export type JsonObject = { readonly [key: string]: unknown };

/** Reads a JSON object from a file; `what` names the file's role in the message. */
export async function readJsonObject(path: string, what: string): Promise<JsonObject> {
  const text = await readTextFile(path, { code: 'MODEL_FILE', what });
  return asObject(parseJson(text, `${what} ${JSON.stringify(path)}`, 'MODEL_FILE'), JSON.stringify(path));
}

/** As readJsonObject, but undefined when the file does not exist. */
export async function readOptionalJsonObject(path: string, what: string): Promise<JsonObject | undefined> {
  try {
    return await readJsonObject(path, what);
  } catch (error) {
    if (error instanceof FsynError && isMissing(error.cause)) return undefined;
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * A typed view of one object of a configuration file: every read names the key, what was expected and what is
 * there.
 */
export class Fields {
  readonly #values: JsonObject;
  readonly #where: string;

  constructor(values: JsonObject, where: string) {
    this.#values = values;
    this.#where = where;
  }

  has(key: string): boolean {
    return this.#values[key] !== undefined && this.#values[key] !== null;
  }

  raw(key: string): unknown {
    return this.#values[key];
  }

  /** A finite number, or the fallback when the key is absent or null. */
  number(key: string, fallback?: number): number {
    return this.#read(key, fallback, 'a finite number', (v): v is number => Number.isFinite(v));
  }

  /** An integer, or the fallback when the key is absent or null. */
  integer(key: string, fallback?: number): number {
    return this.#read(key, fallback, 'an integer', (v): v is number => Number.isInteger(v));
  }

  /** An integer from 1 to `most`. */
  positive(key: string, fallback?: number, most = 2 ** 31 - 1): number {
    return this.#read(
      key,
      fallback,
      `an integer from 1 to ${most}`,
      (v): v is number => Number.isInteger(v) && (v as number) >= 1 && (v as number) <= most,
    );
  }

  boolean(key: string, fallback?: boolean): boolean {
    return this.#read(key, fallback, 'true or false', (v): v is boolean => typeof v === 'boolean');
  }

  string(key: string, fallback?: string): string {
    return this.#read(key, fallback, 'a string', (v): v is string => typeof v === 'string');
  }

  numbers(key: string, length: number, fallback?: readonly number[]): readonly number[] {
    return this.#read(
      key,
      fallback,
      `an array of ${length} finite numbers`,
      (v): v is readonly number[] =>
        Array.isArray(v) && v.length === length && v.every((entry) => Number.isFinite(entry)),
    );
  }

  strings(key: string, fallback?: readonly string[]): readonly string[] {
    return this.#read(
      key,
      fallback,
      'an array of strings',
      (v): v is readonly string[] => Array.isArray(v) && v.every((entry) => typeof entry === 'string'),
    );
  }

  oneOf<T extends string>(key: string, choices: readonly T[], fallback?: T): T {
    return this.#read(
      key,
      fallback,
      `one of ${choices.map((c) => JSON.stringify(c)).join(', ')}`,
      (v): v is T => choices.includes(v as T),
    );
  }

  object(key: string): Fields {
    const value = this.#values[key];
    if (!isObject(value)) this.#fail(key, 'an object', value);
    return new Fields(value, `${this.#where} ${key}`);
  }

  /** Rejects every key that is not known, so that a misspelt one is never ignored. */
  allow(...known: readonly string[]): void {
    for (const key of Object.keys(this.#values)) {
      if (!known.includes(key)) {
        throw new FsynError(
          'MODEL_CONTRACT',
          `Unknown key ${JSON.stringify(key)} in ${this.#where}; known keys: ${known.join(', ')}.`,
        );
      }
    }
  }

  #read<T>(key: string, fallback: T | undefined, expected: string, fits: (value: unknown) => value is T): T {
    const value = this.#values[key];
    if ((value === undefined || value === null) && fallback !== undefined) return fallback;
    if (fits(value)) return value;
    return this.#fail(key, expected, value);
  }

  #fail(key: string, expected: string, value: unknown): never {
    const found = value === undefined ? 'the key is missing' : `found ${describe(value)}`;
    throw new FsynError('MODEL_CONTRACT', `Expected ${expected} for ${key} in ${this.#where}, but ${found}.`);
  }
}

function asObject(value: unknown, where: string): JsonObject {
  if (isObject(value)) return value;
  throw new FsynError('MODEL_FILE', `Expected a JSON object in ${where} but found ${describe(value)}.`);
}
