import { parseArgs } from 'node:util';
import { parseBytes } from '../bytes.js';
import { FsynError, reasonOf } from '../errors.js';

/** How a command's option is read; `list` takes comma-separated or repeated values, `bytes` a size like 2GB. */
export type OptionKind = 'string' | 'integer' | 'number' | 'bytes' | 'flag' | 'list';

export interface OptionSpec {
  readonly kind: OptionKind;
  /** What the help page shows for the value, for example `DIR`. */
  readonly value?: string;
  readonly help: string;
  readonly fallback?: string | number | boolean | readonly string[];
  /** Accepted values of a string option. */
  readonly choices?: readonly string[];
  /** Smallest accepted number. */
  readonly minimum?: number;
}

/** A command of the command line. Results go to `out` (standard output), everything else to `log` (standard error). */
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
  /** Whether `log` is a terminal that understands carriage returns and colours. */
  readonly interactive: boolean;
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

type Value = string | number | boolean | readonly string[] | undefined;

/** Parsed options with the type asked for; asking for a key that the command lacks is a programming error. */
export class OptionValues {
  readonly #values: ReadonlyMap<string, Value>;

  constructor(values: ReadonlyMap<string, Value>) {
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

  #get(name: string): Value {
    if (!this.#values.has(name))
      throw new FsynError('INVALID_ARGUMENT', `The command has no option --${name}.`);
    return this.#values.get(name);
  }
}

/** Parses a command's arguments; throws UsageError naming the option, what was expected and what came. */
export function parseOptions(command: Command, args: readonly string[]): OptionValues {
  const specs = Object.entries(command.options);
  const config = Object.fromEntries(
    specs.map(([name, spec]) => [
      name,
      {
        type: spec.kind === 'flag' ? ('boolean' as const) : ('string' as const),
        multiple: spec.kind === 'list',
      },
    ]),
  );
  let parsed: Record<string, unknown>;
  let operands: readonly string[];
  try {
    const found = parseArgs({
      args: [...args],
      options: config,
      allowPositionals: command.operand !== undefined,
      strict: true,
    });
    parsed = found.values;
    operands = found.positionals;
  } catch (error) {
    throw new UsageError(reasonOf(error).split('. ')[0]);
  }
  const values = new Map(specs.map(([name, spec]) => [name, convert(name, spec, parsed[name])]));
  if (command.operand) {
    const { name, value } = command.operand;
    if (operands.length !== 1) {
      throw new UsageError(
        `Expected one ${value} but received ${operands.length === 0 ? 'none' : operands.join(' ')}.`,
      );
    }
    values.set(name, operands[0]);
  }
  return new OptionValues(values);
}

function convert(name: string, spec: OptionSpec, given: unknown): Value {
  if (given === undefined) return spec.fallback;
  if (spec.kind === 'flag') return given === true;
  if (spec.kind === 'list')
    // A command of its own may hold commas.
    return (given as string[])
      .flatMap((item) => (item.startsWith('exec:') ? [item] : item.split(',')))
      .filter((item) => item !== '');
  const text = given as string;
  if (spec.kind === 'string') {
    if (spec.choices && !spec.choices.includes(text)) {
      throw new UsageError(
        `Expected one of ${spec.choices.join(', ')} for --${name} but received ${JSON.stringify(text)}.`,
      );
    }
    return text;
  }
  if (spec.kind === 'bytes') return convertBytes(name, text);
  const number = Number(text);
  const whole = spec.kind === 'integer';
  if (
    text.trim() === '' ||
    !Number.isFinite(number) ||
    (whole && !Number.isSafeInteger(number)) ||
    number < (spec.minimum ?? -Infinity)
  ) {
    const bound = spec.minimum === undefined ? '' : ` >= ${spec.minimum}`;
    throw new UsageError(
      `Expected ${whole ? 'an integer' : 'a number'}${bound} for --${name} but received ${JSON.stringify(text)}.`,
    );
  }
  return number;
}

function convertBytes(name: string, text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined) {
    throw new UsageError(
      `Expected a size like 512MB, 2GB or 2GiB for --${name} but received ${JSON.stringify(text)}.`,
    );
  }
  return bytes;
}

/** The help page of a command. */
export function commandHelp(command: Command): string {
  const { operand } = command;
  const rows = Object.entries(command.options).map(([name, spec]) => {
    const value = spec.kind === 'flag' ? '' : ` ${spec.value ?? spec.kind.toUpperCase()}`;
    const fallback =
      spec.fallback === undefined || spec.kind === 'flag' ? '' : ` (default ${String(spec.fallback)})`;
    return [`  --${name}${value}`, `${spec.help}${fallback}`] as const;
  });
  rows.push(['  --help', 'show this page']);
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const table = rows.map(([left, right]) => left.padEnd(width) + right).join('\n');
  const usage = operand ? ` ${operand.value}` : '';
  const described = operand ? `\n\n${operand.value}: ${operand.help}` : '';
  return `fsyn ${command.name}${usage} - ${command.summary}\n\n${command.description}${described}\n\nOptions\n${table}\n`;
}
