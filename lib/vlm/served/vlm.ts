import { createHash } from 'node:crypto';
import { checkInteger } from '../../checks.js';
import { FsynError, invalidArgument } from '../../errors.js';
import { findDecision } from '../answer/decision.js';
import { baselineImage } from '../images/baseline.js';
import { checkImage } from '../images/decode.js';
import { encodePng } from '../images/encode.js';
import { type ResolvedPrepareOptions, resolvePrepareOptions } from '../options.js';
import type { Answer, PreparedSample, PrepareOptions, RgbImage, Vlm } from '../types.js';
import { ServerClient } from './client.js';
import type { Dialect, ServedToken } from './dialect.js';
import { dialects } from './dialects.js';
import { type ServedPicture, servedPicture, servedWords } from './players.js';
import { type Probed, type ProbeResult, probeServer } from './probe.js';
import { ServedSample } from './sample.js';
import { refuseThoughts, thoughtBegin } from './tokens.js';

/**
 * How a served model is asked. Every one of these decides the game, so all are part of its fingerprint or of
 * its requests.
 */
export interface ServedOptions {
  /** What results call the model. Default: `MODEL, served, words deleted`. */
  readonly name: string | undefined;
  /** Kind of server. Default: found by asking. */
  readonly dialect: string | undefined;
  /**
   * The prompt of a server that takes it whole (SGLang's `/generate`), with the model's mark of a picture and
   * `{question}`; begun answers go behind it. Default: the question alone.
   */
  readonly template: string | undefined;
  /** Most image players along a side. */
  readonly grid: number;
  /**
   * Pixels that one visual token covers along a side: 28 for Qwen2- and 2.5-VL, 32 for Qwen3-VL, 14 for
   * LLaVA-1.5.
   */
  readonly multiple: number;
  /** Side of the square picture that the model takes (336 for LLaVA-1.5); null where it takes any size. */
  readonly side: number | null;
  readonly concurrency: number;
  /** Seconds for one request. */
  readonly timeout: number;
  /** Environment variable that holds the key of the server. */
  readonly apiKeyEnv: string | undefined;
  /** Names of honesty probes whose failure is accepted. */
  readonly accept: readonly string[];
  readonly onProbe: (result: ProbeResult) => void;
  readonly signal: AbortSignal | undefined;
}

export const servedDefaults: ServedOptions = {
  name: undefined,
  dialect: undefined,
  template: undefined,
  grid: 12,
  multiple: 28,
  side: null,
  concurrency: 64,
  timeout: 120,
  apiKeyEnv: undefined,
  accept: [],
  onProbe: () => {},
  signal: undefined,
};

/** Whether a model's name is that of a served one: `served:http://HOST:PORT/v1#MODEL`. */
export function isServed(name: string): boolean {
  return name.startsWith('served:');
}

/**
 * Opens a model behind a server and probes whether its answers can be measured.
 *
 * @throws FsynError INVALID_ARGUMENT for an address that is none, SERVER when the server cannot be reached,
 *   is of no known kind, lacks the model or fails a probe
 */
export async function openServed(address: string, options: ServedOptions): Promise<ServedVlm> {
  const [, url, model] = /^served:(https?:\/\/[^#]+)#(.+)$/u.exec(address) ?? [];
  if (url === undefined) throw invalidArgument('model', 'served:http://HOST:PORT/v1#MODEL', address);
  if (options.template !== undefined && options.template.split('{question}').length !== 2)
    throw invalidArgument('template', 'a text with {question} in one place', options.template);
  checkInteger('grid', options.grid, 1, 64);
  checkInteger('multiple', options.multiple, 1, 1024);
  checkInteger('concurrency', options.concurrency, 1, 1024);
  const { username, password } = parseUrl(url);
  // Neither is shown: messages go into rows and logs.
  if (username !== '' || password !== '')
    throw invalidArgument('model', 'an address without a name and password (--api-key-env)', 'one with them');
  const origin = url.replace(/\/v1\/?$/u, '');
  const { apiKeyEnv, concurrency, timeout, signal } = options;
  const apiKey = apiKeyEnv === undefined ? undefined : process.env[apiKeyEnv];
  if (apiKeyEnv !== undefined && !apiKey)
    throw invalidArgument('apiKeyEnv', 'an environment variable that holds a key', apiKeyEnv);
  const client = new ServerClient(origin, { apiKey, concurrency, timeout, retries: 6 });
  const { dialect, identity } = await findDialect(client, model, options.dialect, signal);
  const served = new ServedVlm(client, dialect, model, identity, options);
  const failed: string[] = [];
  for await (const result of probeServer(served, signal)) {
    options.onProbe(result);
    if (result.noise !== undefined) served.noise = result.noise;
    if (!result.passed && !options.accept.includes(result.name))
      failed.push(`${result.name}: ${result.says}`);
  }
  if (failed.length > 0) {
    throw new FsynError(
      'SERVER',
      `${origin} cannot be measured as it is. ${failed.join(' ')} Accept a failed probe by its name where you know better.`,
    );
  }
  return served;
}

function parseUrl(url: string): URL {
  try {
    return new URL(url);
  } catch {
    throw invalidArgument('model', 'served:http://HOST:PORT/v1#MODEL', url);
  }
}

async function findDialect(
  client: ServerClient,
  model: string,
  named: string | undefined,
  signal: AbortSignal | undefined,
): Promise<{ dialect: Dialect; identity: string }> {
  const names = dialects.map(({ name }) => name);
  if (named !== undefined && !names.includes(named))
    throw invalidArgument('dialect', `one of ${names.join(', ')}`, named);
  for (const dialect of dialects) {
    if (named !== undefined && dialect.name !== named) continue;
    const identity = await dialect.identify(client, model, signal);
    if (identity !== null) return { dialect, identity };
  }
  throw new FsynError(
    'SERVER',
    `${client.origin} does not answer as ${named ?? `any of ${names.join(', ')}`} does.`,
  );
}

/**
 * A model behind a server. White-box explainers cannot look into it; absent words are deleted, not hidden in
 * their places.
 */
export class ServedVlm implements Vlm, Probed {
  readonly name: string;
  readonly architecture: string;
  readonly fingerprint: string;
  readonly client: ServerClient;
  readonly dialect: Dialect;
  readonly model: string;
  /** Standard deviation of a log-probability when a request is repeated, in nats, as probed. */
  noise = 0;
  readonly #options: ServedOptions;

  constructor(
    client: ServerClient,
    dialect: Dialect,
    model: string,
    identity: string,
    options: ServedOptions,
  ) {
    this.client = client;
    this.dialect = dialect;
    this.model = model;
    this.name = options.name ?? `${model.split('/').at(-1)}, served, words deleted`;
    this.architecture = `served (${dialect.name}), words deleted`;
    const { grid, multiple, side, template } = options;
    this.fingerprint = createHash('sha256')
      .update(
        JSON.stringify([
          identity,
          model,
          grid,
          multiple,
          side,
          'words deleted',
          ...(template === undefined ? [] : [template]),
        ]),
      )
      .digest('hex');
    this.#options = options;
  }

  get template(): string | undefined {
    return this.#options.template;
  }

  /** Pixels that one visual token covers along a side. */
  get multiple(): number {
    return this.#options.multiple;
  }

  picture(image: RgbImage, signal?: AbortSignal): Promise<ServedPicture> {
    const { grid, multiple, side } = this.#options;
    return servedPicture(image, { multiple, fixed: side, grid }, signal);
  }

  async prepare(image: RgbImage, question: string, given?: PrepareOptions): Promise<PreparedSample> {
    checkImage(image);
    const options = resolvePrepareOptions(given);
    const { signal } = options;
    signal?.throwIfAborted();
    this.#refuse(given);
    const words = servedWords(question);
    const picture = await this.picture(image, signal);
    const baseline = await this.picture(await baselineImage(image, options, signal), signal);
    const png = await encodePng(picture.image);
    const text = question + options.instruction;
    const { template } = this.#options;
    const query = {
      png,
      template,
      prefill: '',
      maxTokens: options.maxNewTokens,
      wanted: [],
      salt: '',
      bias: {},
    };
    const { tokens } = await this.dialect.ask(this.client, this.model, { ...query, text }, signal);
    const { answer, target, prefill } = this.#decide(tokens, options);
    return new ServedSample({
      client: this.client,
      dialect: this.dialect,
      model: this.model,
      content: this.fingerprint,
      image,
      question,
      instruction: options.instruction,
      picture,
      baseline: baseline.image,
      words,
      answer,
      target,
      prefill,
      template,
      salt: '',
      noise: this.noise,
    });
  }

  dispose(): void {}

  /** What a server cannot do is refused, never replaced. */
  #refuse(given: PrepareOptions | undefined): void {
    const cannot: [string, boolean, string][] = [
      [
        'textMasking',
        given?.textMasking !== undefined,
        'absent words of a served model are deleted; hiding them in their places takes an attention mask, which no server lets one send',
      ],
      ['answer', given?.answer !== undefined, 'a served model is asked for its own answer'],
      ['answerTokens', given?.answerTokens === 'all', 'a served model gives its decision token only'],
      ['includeInstruction', given?.includeInstruction === true, 'the words of the question are players'],
      ['includeTemplate', given?.includeTemplate === true, 'the words of the question are players'],
    ];
    for (const [name, asked, why] of cannot) {
      if (asked) throw new FsynError('UNSUPPORTED_MODEL', `${name} cannot be used here: ${why}.`);
    }
  }

  /** The answer, its decision token as the dialect names it, and what is to stand before it. */
  #decide(given: readonly ServedToken[], { choices, decisionRule }: ResolvedPrepareOptions) {
    // The mark of the end is no part of what was said.
    const ends = given.length > 1 && /^<[|/｜].*>$/u.test(given.at(-1)!.text);
    const tokens = ends ? given.slice(0, -1) : given;
    const texts = tokens.map(({ text }) => text);
    if (thoughtBegin.test(texts.join(''))) refuseThoughts(this.client, this.model, 'thoughts');
    const decision = findDecision(texts, choices, decisionRule);
    const prefill = texts.slice(0, decision.index).join('');
    const { prefills, name } = this.dialect;
    if (prefill !== '' && (prefills === 'template' ? this.#options.template === undefined : !prefills)) {
      throw new FsynError(
        'SERVER',
        `${this.model} decides only after ${JSON.stringify(prefill)}, and ${name} cannot begin an answer for it${prefills ? ' without a template' : ''}; ` +
          'ask for the bare answer in the instruction.',
      );
    }
    const { token } = tokens[decision.index];
    const answer: Answer = {
      text: texts.join('').trim(),
      tokenIds: Int32Array.from(tokens, (each) => Number(each.token.replace('token_id:', '')) || 0),
      tokens: texts,
      decisionIndex: decision.index,
      decisionKind: decision.kind,
      decisionToken: texts[decision.index].trim(),
      decision: decision.text,
    };
    return { answer, target: token, prefill };
  }
}
