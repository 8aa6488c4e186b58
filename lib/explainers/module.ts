import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Attribution } from '../cells/attribution.js';
import { describe, FsynError, reasonOf } from '../errors.js';
import { type CommandExplainerOptions, commandExplainer, isCommand } from './outside/command.js';
import { importFolder, isImport } from './outside/folder.js';
import { explainers, findExplainers, selectExplainers } from './registry.js';
import type { ExplainContext, Explainer } from './types.js';

/** Names become file names, table rows and keys. */
const namePattern = /^[a-z0-9][a-z0-9._-]*$/u;

/** Whether a name of `--explainers` leads to a file. */
export function isExplainerPath(name: string): boolean {
  return /^\.{0,2}[/\\]/u.test(name) || /\.m?js$/u.test(name);
}

/**
 * Imports explainers from a JavaScript module: its default export is one explainer or a list of them.
 * Every one carries the SHA-256 of the file as its `fingerprint`; what the file imports itself is not in it.
 *
 * @example
 * const [mine] = await loadExplainers('./my-explainer.mjs');
 * const attribution = await explain(sample, mine);
 *
 * @throws FsynError EXPLAINER when the file cannot be read or imported, or what it exports is no explainer:
 *   every fault is named
 */
export async function loadExplainers(path: string): Promise<Explainer[]> {
  const absolute = resolve(path);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(absolute);
  } catch (cause) {
    throw new FsynError('EXPLAINER', `Cannot read the explainer file ${path}: ${reasonOf(cause)}`, { cause });
  }
  const fingerprint = createHash('sha256').update(bytes).digest('hex');
  let module: { readonly default?: unknown };
  try {
    // The same file read again after a change must not be the module of before.
    const url = pathToFileURL(absolute);
    url.searchParams.set('sha256', fingerprint);
    module = (await import(url.href)) as typeof module;
  } catch (cause) {
    throw new FsynError('EXPLAINER', `Cannot import the explainer file ${path}: ${reasonOf(cause)}`, {
      cause,
    });
  }
  const exported = module.default;
  if (exported === undefined) {
    throw new FsynError(
      'EXPLAINER',
      `${path} has no default export; it is to be an explainer or a list of them.`,
    );
  }
  const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
  if (list.length === 0) throw new FsynError('EXPLAINER', `${path} exports an empty list of explainers.`);
  return list.map((candidate, i) => {
    const which = Array.isArray(exported) ? `${path}, explainer ${i + 1} of ${list.length}` : path;
    return checkedExplainer(candidate, which, basename(path), fingerprint);
  });
}

/**
 * Explainers by name, by path of a module, by `import:NAME=FOLDER`, by `exec:COMMAND`, or `all` for every
 * candidate but those that are asked for by name only.
 *
 * @throws FsynError INVALID_ARGUMENT for an unknown or repeated name, EXPLAINER as `loadExplainers` or for a
 *   name that fsyn uses
 */
export async function resolveExplainers(
  names: readonly string[],
  candidates: readonly Explainer[] = explainers,
  processes: Partial<CommandExplainerOptions> = {},
): Promise<Explainer[]> {
  const found: Explainer[] = [];
  try {
    await collect(names, candidates, processes, found);
  } catch (error) {
    await closeExplainers(found);
    throw error;
  }
  return found;
}

/** Ends what explainers hold open, such as processes of their own. */
export async function closeExplainers(chosen: readonly Explainer[]): Promise<void> {
  await Promise.all(chosen.map((explainer) => explainer.close?.()));
}

async function collect(
  names: readonly string[],
  candidates: readonly Explainer[],
  processes: Partial<CommandExplainerOptions>,
  found: Explainer[],
): Promise<void> {
  for (const name of names) {
    if (isImport(name)) found.push(await importFolder(name));
    else if (isCommand(name)) found.push(await commandExplainer(name, processes));
    else if (isExplainerPath(name)) found.push(...(await loadExplainers(name)));
    else found.push(...(name === 'all' ? selectExplainers([name], candidates) : findExplainers([name])));
  }
  for (const [i, explainer] of found.entries()) {
    const { name } = explainer;
    if (!explainers.includes(explainer) && explainers.some((own) => own.name === name)) {
      throw new FsynError(
        'EXPLAINER',
        `The explainer name ${JSON.stringify(name)} is one of fsyn's own; give yours another, so that results tell them apart.`,
      );
    }
    if (found.findIndex((other) => other.name === name) !== i)
      throw new FsynError('INVALID_ARGUMENT', `Explainer ${JSON.stringify(name)} is named twice.`);
  }
}

interface Expectation {
  readonly expected: string;
  readonly fits: (value: unknown) => boolean;
  readonly optional?: boolean;
}

const text: Expectation = {
  expected: 'a text that is not empty',
  fits: (value) => typeof value === 'string' && value.trim() !== '',
};
const flag: Expectation = { expected: 'true or false', fits: (value) => typeof value === 'boolean' };
const method = (takes: string): Expectation => ({
  expected: `a function of ${takes}`,
  fits: (value) => typeof value === 'function',
});

const contract: Readonly<Record<string, Expectation>> = {
  name: {
    expected: 'a name of lower-case letters, digits, dots, dashes and underscores',
    fits: (value) => typeof value === 'string' && namePattern.test(value) && value !== 'all',
  },
  title: text,
  reference: text,
  needsTruth: flag,
  attribute: method('the context'),
  byNameOnly: { ...flag, optional: true },
  cells: { ...method('the numbers of image and text players'), optional: true },
};

function checkedExplainer(value: unknown, which: string, file: string, fingerprint: string): Explainer {
  if (typeof value !== 'object' || value === null) {
    throw new FsynError('EXPLAINER', `${which}: expected an explainer object but found ${describe(value)}.`);
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const faults = Object.entries(contract)
    .filter(([key, { fits, optional }]) => !(fields[key] === undefined && optional) && !fits(fields[key]))
    .map(([key, { expected }]) => `${key}: expected ${expected} but found ${describe(fields[key])}`);
  if (faults.length > 0) throw new FsynError('EXPLAINER', `${which} is no explainer. ${faults.join('; ')}.`);
  const given = value as Explainer;
  const { name, title, reference, needsTruth, byNameOnly, cells } = given;
  return {
    name,
    title,
    reference,
    needsTruth,
    fingerprint,
    ...(byNameOnly === undefined ? {} : { byNameOnly }),
    ...(cells === undefined ? {} : { cells: (image: number, text: number) => given.cells!(image, text) }),
    attribute: async (context) =>
      checkedAttribution(await given.attribute(visible(context, needsTruth)), file, name),
  };
}

/** Only who says that it looks at the truth is shown it. */
function visible(context: ExplainContext, needsTruth: boolean): ExplainContext {
  if (needsTruth) return context;
  const { truth: _, ...rest } = context;
  return rest;
}

/** Numbers of players and finite values are checked where attributions are measured. */
function checkedAttribution(value: unknown, file: string, name: string): Attribution {
  const { image, text } = (value ?? {}) as { readonly image?: unknown; readonly text?: unknown };
  const scores = (modality: string, list: unknown): Float64Array => {
    const numbers =
      ArrayBuffer.isView(list) || Array.isArray(list) ? Array.from(list as ArrayLike<unknown>) : undefined;
    if (numbers?.every((item) => typeof item === 'number')) return Float64Array.from(numbers as number[]);
    throw new FsynError(
      'ATTRIBUTION',
      `${name} of ${file} is to give { image, text } with one number per player, but its ${modality} is ${describe(list)}.`,
    );
  };
  return { ...(value as Attribution), image: scores('image', image), text: scores('text', text) };
}
