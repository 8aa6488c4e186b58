import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { FsynError, reasonOf } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { Vlm } from '../vlm/types.js';
import { noFaults, type ServerFaults } from './faults.js';
import { ServedModel } from './model.js';
import { BadRequest, type Route, routesOf, type ServedDialect } from './routes.js';

export interface ServeOptions {
  /** Loopback only: there is no authentication. */
  readonly host: '127.0.0.1' | '::1';
  /** 0 takes a free one. */
  readonly port: number;
  readonly dialect: ServedDialect;
  /** What is to go wrong, for tests of clients. */
  readonly faults: Partial<ServerFaults>;
}

export interface RunningServer {
  /** `http://HOST:PORT`. */
  readonly url: string;
  /** Completions that were asked for so far, those that failed on purpose included. */
  readonly requests: number;
  close(): Promise<void>;
}

/** A picture of 4096 x 4096 as PNG fits; nothing that is asked here is larger. */
const largestBody = 64 * 2 ** 20;

const defaults: ServeOptions = { host: '127.0.0.1', port: 0, dialect: 'vllm', faults: {} };

/**
 * Serves a model on loopback in the words of a model server, so that what speaks to these can be tried and
 * tested without one.
 *
 * @throws FsynError UNSUPPORTED_MODEL for a model that writes no answers
 */
export async function serve(vlm: Vlm, given?: Partial<ServeOptions>): Promise<RunningServer> {
  const { host, port, dialect, faults: someFaults } = resolveOptions('serve', defaults, given);
  if (vlm.complete === undefined) {
    throw new FsynError('UNSUPPORTED_MODEL', `${vlm.name} writes no answers, so it cannot be served.`);
  }
  const faults = resolveOptions('faults', noFaults, someFaults);
  const routes = routesOf(dialect, new ServedModel(vlm, faults), faults);
  let requests = 0;
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const route = routes.get(`${request.method} ${path}`);
    if (route?.counted) {
      requests++;
      if (faults.resetEvery > 0 && requests % faults.resetEvery === 0) return void request.socket.destroy();
      if (faults.busyEvery > 0 && requests % faults.busyEvery === 0) {
        response.setHeader('Retry-After', '0.05');
        return send(response, 429, { error: { message: 'Too many requests.' } });
      }
    }
    void answer(route, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    get requests() {
      return requests;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  route: Route | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const controller = new AbortController();
  response.on('close', () => controller.abort());
  try {
    if (route === undefined) return send(response, 404, { error: { message: 'Not found.' } });
    const body = request.method === 'POST' ? await readBody(request) : {};
    send(response, 200, await route.answer(body, controller.signal));
  } catch (error) {
    const status = error instanceof BadRequest ? 400 : 500;
    send(response, status, { error: { message: reasonOf(error) } });
  }
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > largestBody) throw new BadRequest(`The request has more than ${largestBody} bytes.`);
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body))
      return body as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new BadRequest('The request is no JSON object.');
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.writableEnded || response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
  });
  response.end(text);
}
