import { parseBytes } from '../bytes.js';
import { FsynError } from '../errors.js';
import { suggestion } from '../suggestion.js';

/**
 * How a command's option is read; `list` takes comma-separated or repeated values, `bytes` a size like 2GB.
 */
export type OptionKind = 'string' | 'integer' | 'number' | 'bytes' | 'flag' | 'list';

export interface OptionSpec {
  readonly kind: OptionKind;
  /** What the help page shows for the value, for example `DIR`. */
  readonly value?: string;
  readonly help: string;
  readonly fallback?: string | number | boolean | readonly string[];
  /** Accepted values of a string option. */
  readonly choices?: readonly string[];
  /** Values that a shell offers where others are accepted, too. */
  readonly known?: readonly string[];
  /** Smallest accepted number. */
  readonly minimum?: number;
  /**
   * Part of this call only, so that a run that is replayed does not take it over: where to write, what to
   * print.
   */
  readonly transient?: boolean;
}

/**
 * A command of the command line. Results go to `out` (standard output), everything else to `log` (standard
 * error).
 */
export interface Command<Specs extends Record<string, OptionSpec> = Record<string, OptionSpec>> {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly options: Specs;
  /** The one argument without a dash that the command takes, read like a string option of this name. */
  readonly operand?: { readonly name: string; readonly value: string; readonly help: string };
  run(values: OptionValues, io: CommandIo): Promise<ExitCode>;
}

export interface CommandIo {
  readonly out: (text: string) => void;
  readonly log: (text: string) => void;
  /** As `log`, for text that moves the cursor; without it `log` is taken. */
  readonly raw?: (text: string) => void;
  /** Whether `log` is a terminal that understands carriage returns and colours. */
  readonly interactive: boolean;
  /**
   * Columns of the terminal that `out` goes to; undefined for a file or a pipe, whose lines are never broken.
   */
  readonly width?: number;
  /** Columns of the terminal that `log` goes to, as they are now. */
  readonly columns?: () => number;
  readonly signal: AbortSignal;
}

/** Exit codes are part of the interface: see docs/command-line.md. */
export const exitCodes = { ok: 0, error: 1, usage: 2, failures: 3, interrupted: 130 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A mistake on the command line: printed with a pointer to the help page, exit code 2. */
export class UsageError extends Error {}

/** Runs what only reads names of the command line: one that means nothing is a mistake on it. */
export async function asUsage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof FsynError && error.code === 'INVALID_ARGUMENT') throw new UsageError(error.message);
    throw error;
  }
}

export type OptionValue = string | number | boolean | readonly string[] | undefined;

/** Parsed options with the type asked for; asking for a key that the command lacks is a programming error. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, OptionValue>;

  constructor(values: ReadonlyMap<string, OptionValue>) {
    this.#values = values;
  }

  string(name: string): string | undefined {
    return this.#get(name) as string | undefined;
  }

  number(name: string): number | undefined {
    return this.#get(name) as number | undefined;
  }

  flag(name: string): boolean {
    return this.#get(name) === true;
  }

  list(name: string): readonly string[] {
    return (this.#get(name) as readonly string[] | undefined) ?? [];
  }

  /** A string that must be there. */
  required(name: string): string {
    const value = this.string(name);
    if (value === undefined || value === '') throw new UsageError(`--${name} is required.`);
    return value;
  }

  /**
   * What another call needs to do the same: options that have a value, but for those that belong to this call
   * alone.
   */
  lasting(command: Command): Record<string, OptionValue> {
    const lasting = Object.entries(command.options).filter(([, { transient }]) => !transient);
    return Object.fromEntries(
      lasting.map(([name]) => [name, this.#get(name)]).filter(([, value]) => value !== undefined),
    );
  }

  #get(name: string): OptionValue {
    if (!this.#values.has(name))
      throw new FsynError('INVALID_ARGUMENT', `The command has no option --${name}.`);
    return this.#values.get(name);
  }
}

/**
 * Reads an option's text, or texts, as its kind says. @throws UsageError naming the option, what was expected
 * and what came
 */
export function readOption(name: string, spec: OptionSpec, given: string | readonly string[]): OptionValue {
  const texts = typeof given === 'string' ? [given] : given;
  if (spec.kind === 'list')
    // A command of its own may hold commas.
    return texts
      .flatMap((item) => (item.startsWith('exec:') ? [item] : item.split(',')))
      .filter((item) => item !== '');
  const text = texts[texts.length - 1];
  if (spec.kind === 'string') return readChoice(name, spec, text);
  if (spec.kind === 'bytes') return readBytes(name, text);
  return readNumber(name, spec, text);
}

function readChoice(name: string, { choices }: OptionSpec, text: string): string {
  if (!choices || choices.includes(text)) return text;
  throw new UsageError(
    `Expected one of ${choices.join(', ')} for --${name} but received ${JSON.stringify(text)}${suggestion(text, choices) || '.'}`,
  );
}

function readNumber(name: string, { kind, minimum }: OptionSpec, text: string): number {
  const number = Number(text);
  const whole = kind === 'integer';
  const right = whole ? Number.isSafeInteger(number) : Number.isFinite(number);
  if (text.trim() === '' || !right || number < (minimum ?? -Infinity)) {
    const bound = minimum === undefined ? '' : ` >= ${minimum}`;
    throw new UsageError(
      `Expected ${whole ? 'an integer' : 'a number'}${bound} for --${name} but received ${JSON.stringify(text)}.`,
    );
  }
  return number;
}

function readBytes(name: string, text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) {
    throw new UsageError(
      `Expected a size like 512MB, 2GB or 2GiB for --${name} but received ${JSON.stringify(text)}.`,
    );
  }
  return bytes;
}
