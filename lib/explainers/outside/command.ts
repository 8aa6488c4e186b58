import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { Attribution } from '../../cells/attribution.js';
import { FsynError } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import { packageInfo } from '../../package.js';
import { encodePng } from '../../vlm/images/encode.js';
import { type ExternalAttribution, importAttribution, readAttribution } from '../imported.js';
import type { ExplainContext, Explainer } from '../types.js';
import { playersRecord, playersSchema } from './record.js';
import { RpcProcess } from './rpc.js';

export interface CommandExplainerOptions {
  /** Seconds that one sample may take. Default: 600. */
  readonly timeout: number;
  /** Takes the lines that the process writes to its standard error. Default: dropped. */
  readonly onLog: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

const defaults: CommandExplainerOptions = { timeout: 600, onLog: () => {}, signal: undefined };

const prefix = 'exec:';

/** Whether a name of `--explainers` is a command: `exec:python3 my_explainer.py`. */
export function isCommand(name: string): boolean {
  return name.startsWith(prefix);
}

/**
 * An explainer in another process: starts the command, asks it who it is, and then for the scores of one
 * sample after the other (JSON-RPC 2.0, one message a line: `initialize`, `attribute`, `shutdown`;
 * docs/guides/explainers-in-python.md).
 *
 * What it cannot do is the named failure of that sample's row. A process that ended is started again, once in
 * a run.
 *
 * @param specification `exec:COMMAND`, words apart by blanks, quoted where they hold blanks
 * @throws FsynError EXPLAINER when the process cannot be started or does not introduce itself
 */
export async function commandExplainer(
  specification: string,
  given?: Partial<CommandExplainerOptions>,
): Promise<Explainer> {
  const options = resolveOptions('commandExplainer', defaults, given);
  const command = splitCommand(specification.slice(prefix.length));
  if (command.length === 0) {
    throw new FsynError('EXPLAINER', `Expected exec:COMMAND but received ${JSON.stringify(specification)}.`);
  }
  const process = start(command, options);
  try {
    const identity = readIdentity(await introduce(process, options, options.signal), specification);
    return new CommandExplainer(command, process, identity, await fingerprint(command, identity), options);
  } catch (error) {
    await process.close();
    throw error;
  }
}

interface Identity {
  readonly name: string;
  readonly title: string;
  readonly reference: string;
  readonly version: string;
}

class CommandExplainer implements Explainer {
  readonly name: string;
  readonly title: string;
  readonly reference: string;
  readonly needsTruth = false;
  readonly fingerprint: string;
  readonly #command: readonly string[];
  readonly #options: CommandExplainerOptions;
  #process: RpcProcess;
  #restarted = false;
  #folder: Promise<string> | undefined;

  constructor(
    command: readonly string[],
    process: RpcProcess,
    { name, title, reference }: Identity,
    fingerprint: string,
    options: CommandExplainerOptions,
  ) {
    this.#command = command;
    this.#process = process;
    this.name = name;
    this.title = title;
    this.reference = reference;
    this.fingerprint = fingerprint;
    this.#options = options;
  }

  async attribute(context: ExplainContext): Promise<Attribution> {
    const { sample, signal } = context;
    const process = await this.#alive(signal);
    const result = await process.call(
      'attribute',
      await this.#describe(context),
      this.#options.timeout,
      signal,
    );
    const { image, text, npy } = (result ?? {}) as Partial<ExternalAttribution> & {
      readonly npy?: { readonly image?: unknown; readonly text?: unknown };
    };
    if (typeof npy?.image === 'string' && typeof npy.text === 'string')
      return readAttribution(sample, { image: npy.image, text: npy.text });
    if (image === undefined || text === undefined) {
      throw new FsynError('ATTRIBUTION', `${this.name} answered without "image" and "text".`);
    }
    return importAttribution(sample, { image, text });
  }

  async close(): Promise<void> {
    await this.#process.close();
    const folder = await this.#folder;
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    this.#folder = undefined;
    this.#restarted = false;
  }

  async #alive(signal: AbortSignal | undefined): Promise<RpcProcess> {
    if (this.#process.alive || this.#restarted) return this.#process;
    this.#restarted = true;
    this.#options.onLog(`${this.name} ended and is started again`);
    this.#process = start(this.#command, this.#options);
    await introduce(this.#process, this.#options, signal);
    return this.#process;
  }

  /** The sample's record, its pictures in a folder that lives as long as the explainer. */
  async #describe({ sample, identity, seed }: ExplainContext): Promise<unknown> {
    this.#folder ??= mkdtemp(join(tmpdir(), 'fsyn-'));
    const folder = await this.#folder;
    const picture = join(folder, 'picture.png');
    await writeFile(picture, await encodePng(sample.image));
    const views = (sample.views ?? []).map((_, i) => join(folder, `view-${i}.png`));
    for (const [i, view] of (sample.views ?? []).entries()) await writeFile(views[i], await encodePng(view));
    const { whiteBox } = sample;
    const models = whiteBox && {
      vision: whiteBox.visionModel,
      embed: whiteBox.embedModel,
      decoder: whiteBox.decoderModel,
    };
    const record = playersRecord(sample, identity ?? { dataset: '', sample: '' }, { picture, views });
    return { ...record, models: models ?? null, seed };
  }
}

function start(command: readonly string[], { onLog }: CommandExplainerOptions): RpcProcess {
  return new RpcProcess(command, { name: command.join(' '), onLog });
}

/** Who starts may be loading a model: it gets a minute at least, however little time a sample has. */
function introduce(
  process: RpcProcess,
  { timeout }: CommandExplainerOptions,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  const greeting = { protocol: playersSchema, fsyn: packageInfo().version };
  return process.call('initialize', greeting, Math.max(timeout, 60), signal);
}

function readIdentity(value: unknown, specification: string): Identity {
  const { name, title, reference, version } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]*$/u.test(name)) {
    throw new FsynError(
      'EXPLAINER',
      `${specification}: expected a name of lower-case letters, digits, dots, dashes and underscores from initialize but received ${JSON.stringify(name)}.`,
    );
  }
  const text = (given: unknown, fallback: string) => (typeof given === 'string' && given ? given : fallback);
  return {
    name,
    title: text(title, name),
    reference: text(reference, specification),
    version: text(version, ''),
  };
}

/** The command, the version that it tells, and the contents of the files that the command names. */
async function fingerprint(command: readonly string[], { version }: Identity): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([command.slice(1), version]));
  for (const word of command.slice(1)) {
    const isFile = await stat(word).then(
      (found) => found.isFile(),
      () => false,
    );
    if (isFile) hash.update(await readFile(word));
  }
  if (isAbsolute(command[0]) || command[0].startsWith('.')) hash.update(await readFile(command[0]));
  return hash.digest('hex');
}

/** Words of a command line: apart by blanks, quoted by " or ' where they hold some. */
export function splitCommand(text: string): string[] {
  const words = text.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/gu) ?? [];
  return words.map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/gu, (_, a?: string, b?: string) => a ?? b ?? ''),
  );
}
