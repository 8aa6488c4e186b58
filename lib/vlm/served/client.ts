import { setTimeout as sleep } from 'node:timers/promises';
import { describe, FsynError, reasonOf } from '../../errors.js';

export interface ClientOptions {
  /** Sent as a bearer token; never shown. */
  readonly apiKey: string | undefined;
  /** Requests at a time: begins at 4 and stays between 1 and this. */
  readonly concurrency: number;
  /** Seconds that one request may take. */
  readonly timeout: number;
  readonly retries: number;
}

/** What the server refuses for good: its words, the status. */
export class ServerRefusal extends FsynError {
  readonly status: number;

  constructor(status: number, message: string) {
    super('SERVER', message);
    this.status = status;
  }
}

/**
 * A client of one model server. Plain `fetch`: it is in every Node from 20 on, and clients that are kept need
 * later ones.
 *
 * Requests wait for one of the places, whose number grows while answers come and is halved when the server is
 * busy, silent or gone; such requests are tried again after a growing, jittered pause, or the one that the
 * server asks for.
 */
export class ServerClient {
  readonly origin: string;
  readonly #options: ClientOptions;
  readonly #waiting: (() => void)[] = [];
  #places: number;
  #busy = 0;
  #sent = 0;
  /** Requests sent when the places were last halved: those that were under way then do not halve again. */
  #halvedAt = -1;

  constructor(origin: string, options: ClientOptions) {
    this.origin = origin.replace(/\/+$/u, '');
    this.#options = options;
    this.#places = Math.min(4, options.concurrency);
  }

  /** Requests sent so far, repeats included. */
  get sent(): number {
    return this.#sent;
  }

  /** The answer of a route, or null where the server has no such route or answers with a page. */
  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    try {
      return await this.#request('GET', path, undefined, signal);
    } catch (error) {
      if (error instanceof ServerRefusal && [401, 403].includes(error.status)) throw error;
      if (error instanceof ServerRefusal || error instanceof NoJson) return null;
      throw error;
    }
  }

  /** @throws FsynError SERVER; the signal's reason */
  async post(path: string, body: unknown, signal?: AbortSignal): Promise<Record<string, unknown>> {
    const answer = await this.#request('POST', path, body, signal);
    if (typeof answer !== 'object' || answer === null || Array.isArray(answer))
      throw new FsynError('SERVER', `${this.origin}${path} answered ${describe(answer)}, not an object.`);
    // Some servers and proxies say 200 and mean an error.
    const { error } = answer as { error?: unknown };
    if (error !== undefined && error !== null)
      throw new FsynError('SERVER', `${this.origin}${path} answered: ${this.#shown(JSON.stringify(error))}`);
    return answer as Record<string, unknown>;
  }

  /** The server's words, short and without the key, which servers repeat. */
  #shown(text: string): string {
    const { apiKey } = this.#options;
    return (apiKey === undefined ? text : text.replaceAll(apiKey, '***')).slice(0, 300).trim();
  }

  async #request(method: string, path: string, body: unknown, signal: AbortSignal | undefined) {
    for (let attempt = 0; ; attempt++) {
      await this.#enter(signal);
      const begun = this.#sent;
      let pause: number;
      try {
        const answer = await this.#once(method, path, body, signal);
        this.#places = Math.min(this.#options.concurrency, this.#places + 1 / this.#places);
        return answer;
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof Busy) || attempt >= this.#options.retries) throw unwrap(error);
        if (begun > this.#halvedAt) {
          this.#places = Math.max(1, this.#places / 2);
          this.#halvedAt = this.#sent;
        }
        // Full jitter (Brooker 2015): clients that were refused together do not come back together.
        pause = error.retryAfter ?? Math.random() * Math.min(8, 0.25 * 2 ** attempt);
      } finally {
        this.#leave();
      }
      await sleep(1000 * pause, undefined, { signal });
    }
  }

  async #once(
    method: string,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    this.#sent++;
    const limit = AbortSignal.timeout(1000 * this.#options.timeout);
    const { apiKey } = this.#options;
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.origin + path, {
        method,
        headers: {
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...(apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        // Followed, a POST becomes a GET, and pictures go where nobody sent them.
        redirect: 'manual',
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      });
      text = await readText(response);
    } catch (cause) {
      if (cause instanceof FsynError)
        throw new FsynError('SERVER', `${this.origin}${path}: ${cause.message}`);
      if (isFinal(cause))
        throw new FsynError('SERVER', `${this.origin}${path}: ${causeOf(cause)}.`, { cause });
      const why = limit.aborted ? `no answer within ${this.#options.timeout} s` : causeOf(cause);
      throw new Busy(new FsynError('SERVER', `${this.origin}${path}: ${why}.`, { cause }), undefined);
    }
    const { status } = response;
    if (response.ok) {
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw new NoJson(
          `${this.origin}${path} answered something that is not JSON: ${this.#shown(text)}`,
          cause,
        );
      }
    }
    const refusal = new ServerRefusal(
      status,
      `${this.origin}${path} answered ${status}: ${this.#shown(response.headers.get('location') ?? text)}`,
    );
    if (status !== 429 && status < 500) throw refusal;
    const after = Number(response.headers.get('retry-after'));
    throw new Busy(refusal, Number.isFinite(after) && after > 0 ? Math.min(after, 60) : undefined);
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    while (this.#busy >= this.#open()) await this.#turn(signal);
    this.#busy++;
  }

  /**
   * Waits for a place that may be free. One that is aborted leaves the queue: a turn given to it would be
   * lost.
   */
  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1);
        reject(signal?.reason);
      };
      const wake = () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.push(wake);
    });
  }

  #open(): number {
    return Math.max(1, Math.floor(this.#places));
  }

  #leave(): void {
    this.#busy--;
    for (const wake of this.#waiting.splice(0, Math.max(0, this.#open() - this.#busy))) wake();
  }
}

/** A page where JSON was expected: a proxy's, or of a server that has another kind of routes. */
class NoJson extends FsynError {
  constructor(message: string, cause: unknown) {
    super('SERVER', message, { cause });
  }
}

/** Thousands of tokens for each of some steps are a few megabytes. */
const largestAnswer = 64 * 2 ** 20;

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, size] = ['', 0];
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > largestAnswer)
      throw new FsynError('SERVER', `the answer has more than ${largestAnswer} bytes.`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** What may be tried again. */
class Busy extends Error {
  readonly failure: FsynError;
  readonly retryAfter: number | undefined;

  constructor(failure: FsynError, retryAfter: number | undefined) {
    super(failure.message);
    this.failure = failure;
    this.retryAfter = retryAfter;
  }
}

function unwrap(error: unknown): unknown {
  return error instanceof Busy ? error.failure : error;
}

/** `fetch failed` says nothing; its cause does. */
function causeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return reasonOf(cause ?? error);
}

/** Certificates and protocols do not mend themselves. */
function isFinal(error: unknown): boolean {
  const { code } = (error as { cause?: { code?: unknown } }).cause ?? {};
  return typeof code === 'string' && /CERT|SELF_SIGNED|UNABLE_TO|SSL|TLS|EPROTO|INVALID_URL/u.test(code);
}
