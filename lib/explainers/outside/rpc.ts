import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { FsynError } from '../../errors.js';
import { readLines } from './lines.js';

/** A line that is longer is no answer: a map of a thousand players takes some tens of kilobytes. */
const longestLine = 64 * 2 ** 20;
const longestLog = 2 ** 16;

/** Milliseconds that pipes may outlive the process: a child of its own that it left behind may hold them. */
const pipeGrace = 500;

export interface RpcOptions {
  /** What messages call the process. */
  readonly name: string;
  /** Takes the lines that the process writes to its standard error. */
  readonly onLog: (line: string) => void;
}

interface Pending {
  readonly id: number;
  resolve(result: unknown): void;
  reject(error: FsynError): void;
}

/**
 * A child process that speaks JSON-RPC 2.0 on its standard input and output, one message a line. One call at
 * a time. Whatever goes wrong - it cannot be started, it ends, it is silent for too long, it writes something
 * else - rejects the call with the code EXPLAINER and ends the process: after half an answer nothing that
 * follows can be trusted.
 */
export class RpcProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #options: RpcOptions;
  readonly #exited: Promise<void>;
  #pending: Pending | undefined;
  #calls = 0;
  #ended: string | undefined;
  #lastLog = '';

  constructor(command: readonly string[], options: RpcOptions) {
    this.#options = options;
    const [program, ...args] = command;
    // A group of its own, so that a wrapper (uv run, npx) ends with what it started, and an interrupt from
    // the terminal reaches fsyn alone, which ends the process in order.
    const detached = process.platform !== 'win32';
    this.#child = spawn(program, args, { stdio: 'pipe', windowsHide: true, detached });
    // Whoever stops fsyn without waiting leaves nothing behind that goes on computing.
    const leave = () => this.#kill();
    process.once('exit', leave);
    this.#hold(false);
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#fail(`cannot be started: ${error.message}`);
        process.off('exit', leave);
        resolve();
      });
      this.#child.on('exit', () => {
        setTimeout(() => this.#dropPipes(), pipeGrace).unref();
      });
      this.#child.on('close', (code, signal) => {
        const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
        this.#fail(`ended ${how}${this.#lastLog === '' ? '' : `; it said last: ${this.#lastLog}`}`);
        process.off('exit', leave);
        resolve();
      });
    });
    // A process that ended makes writes fail; its end is reported by `close`, with the reason.
    this.#child.stdin.on('error', () => {});
    readLines(this.#child.stdout, longestLine, (line, whole) => {
      if (whole) this.#read(line);
      else this.#fail(`wrote a line of more than ${longestLine} characters`);
    });
    readLines(this.#child.stderr, longestLog, (line) => {
      if (line.trim() !== '') this.#lastLog = line.trim().slice(0, 300);
      options.onLog(line);
    });
  }

  get alive(): boolean {
    return this.#ended === undefined;
  }

  /**
   * @param timeout seconds that the answer may take
   * @throws FsynError EXPLAINER for an error that the process answers, or when it cannot answer; the signal's
   *   reason
   */
  async call(method: string, params: unknown, timeout: number, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    if (this.#ended !== undefined) throw this.#error(this.#ended);
    const id = ++this.#calls;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending = { id, resolve, reject };
    });
    const timer = setTimeout(
      () => this.#fail(`gave no answer to ${method} within ${timeout} s`),
      timeout * 1000,
    );
    const abort = () => this.#fail('was stopped');
    signal?.addEventListener('abort', abort, { once: true });
    this.#hold(true);
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    try {
      return await answer;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      this.#hold(false);
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Asks the process to end, and ends it after two seconds. */
  async close(): Promise<void> {
    if (this.alive) {
      this.#child.stdin.end(`${JSON.stringify({ jsonrpc: '2.0', method: 'shutdown' })}\n`);
      this.#hold(true);
      const timer = setTimeout(() => this.#kill(), 2000);
      await this.#exited;
      clearTimeout(timer);
    }
    await this.#exited;
  }

  /**
   * Whether the child keeps this process alive: only while it owes an answer. One that is forgotten ends with
   * its input.
   */
  #hold(held: boolean): void {
    const { stdin, stdout, stderr } = this.#child;
    for (const handle of [this.#child, stdin, stdout, stderr] as unknown as { ref(): void; unref(): void }[])
      held ? handle.ref?.() : handle.unref?.();
  }

  #read(line: string): void {
    if (line.trim() === '') return;
    const pending = this.#pending;
    const message = parseMessage(line);
    if (typeof message === 'string') this.#fail(message);
    else if (!pending) this.#fail(`wrote ${shown(line)}, which answers no request`);
    else if (message.id !== pending.id) this.#fail(`answered request ${String(message.id)} out of turn`);
    else {
      this.#pending = undefined;
      const { error, result } = message;
      if (error === undefined) pending.resolve(result);
      else pending.reject(this.#error(`reports: ${String(error?.message ?? 'an error without a message')}`));
    }
  }

  #fail(reason: string): void {
    this.#ended ??= reason;
    this.#kill();
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.reject(this.#error(reason));
  }

  #kill(): void {
    const { pid } = this.#child;
    try {
      if (pid !== undefined && process.platform !== 'win32') process.kill(-pid, 'SIGKILL');
    } catch {
      // The group has ended.
    }
    this.#child.kill('SIGKILL');
  }

  #dropPipes(): void {
    for (const pipe of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) pipe.destroy();
  }

  #error(reason: string): FsynError {
    return new FsynError('EXPLAINER', `${this.#options.name} ${reason}.`);
  }
}

interface Message {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message?: unknown };
}

/** A message, or what is wrong with the line. */
function parseMessage(line: string): Message | string {
  try {
    const message = JSON.parse(line) as (Message & { readonly jsonrpc?: unknown }) | null;
    if (message?.jsonrpc === '2.0') return message;
    return `wrote ${shown(line)}, which is no JSON-RPC message`;
  } catch {
    if (/^\s*\{.*\b(NaN|Infinity)\b/su.test(line))
      return `wrote ${shown(line)}: NaN and Infinity are no scores, and no JSON`;
    return `wrote ${shown(line)} to its standard output, which is no JSON-RPC message; print to standard error instead`;
  }
}

function shown(line: string): string {
  return JSON.stringify(line.length > 120 ? `${line.slice(0, 120)}...` : line);
}
