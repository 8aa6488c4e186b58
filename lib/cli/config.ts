import { readFileSync } from 'node:fs';
import { describe, reasonOf } from '../errors.js';
import { suggestion } from '../suggestion.js';
import { type Command, type OptionSpec, type OptionValue, readOption, UsageError } from './command.js';

/** What a command is replayed with, as the `run.json` of its results holds it. */
export interface Invocation {
  readonly command: string;
  readonly options: Readonly<Record<string, unknown>>;
}

/**
 * Options of a command from a JSON file: an object by option names, or the `run.json` of a results folder,
 * whose `invocation` holds those of the run. Values are of their own kind (numbers, true, lists) or texts as
 * on the command line.
 *
 * @throws UsageError naming the file and the option
 */
export function readConfig(command: Command, path: string): Map<string, OptionValue> {
  return readOptions(command, optionsIn(path), path);
}

/**
 * Options of a command as JSON holds them: of their own kind, or texts as on the command line.
 *
 * @param where names them in messages
 * @throws UsageError naming the option
 */
export function readOptions(
  command: Command,
  options: Readonly<Record<string, unknown>>,
  where: string,
): Map<string, OptionValue> {
  const values = new Map<string, OptionValue>();
  for (const [name, value] of Object.entries(options)) {
    const spec = command.options[name] as OptionSpec | undefined;
    if (spec === undefined || name === 'config')
      throw new UsageError(
        `${where}: \`fsyn ${command.name}\` has no option ${JSON.stringify(name)}${suggestion(name, Object.keys(command.options)) || '.'}`,
      );
    if (value !== null) values.set(name, readValue(where, name, spec, value));
  }
  return values;
}

function optionsIn(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new UsageError(
      missing
        ? `There is no file ${JSON.stringify(path)} (--config).`
        : `Cannot read ${path}: ${reasonOf(error)}`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not JSON: ${reasonOf(error)}`);
  }
  if (!isObject(value)) throw new UsageError(`${path} is not a JSON object.`);
  if (isObject(value.invocation) && isObject(value.invocation.options)) return value.invocation.options;
  if ('schema' in value)
    throw new UsageError(`${path} does not say how its run was asked for: it has no invocation.options.`);
  return value;
}

function readValue(path: string, name: string, spec: OptionSpec, value: unknown): OptionValue {
  const fail = (expected: string): never => {
    throw new UsageError(`${path}: expected ${expected} for ${name} but found ${describe(value)}.`);
  };
  if (spec.kind === 'flag') return typeof value === 'boolean' ? value : fail('true or false');
  if (spec.kind === 'list' && Array.isArray(value)) {
    if (!value.every((item) => typeof item === 'string')) fail('a list of texts');
    return value as readonly string[];
  }
  if (typeof value !== 'string' && typeof value !== 'number')
    fail(spec.kind === 'list' ? 'a list of texts' : 'a text or a number');
  try {
    return readOption(name, spec, String(value));
  } catch (error) {
    throw new UsageError(`${path}: ${reasonOf(error)}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
