import { createHash } from 'node:crypto';
import { packageInfo } from '../package.js';
import type { CompletedToken, Completion } from '../vlm/types.js';
import type { ServerFaults } from './faults.js';
import type { ServedModel, ServedRequest } from './model.js';

/** Servers whose words are spoken. */
export type ServedDialect = 'vllm' | 'sglang' | 'llamacpp' | 'ollama' | 'openai';

export const servedDialects: readonly ServedDialect[] = ['vllm', 'sglang', 'llamacpp', 'ollama', 'openai'];

/** What the client is to mend: answered with 400. */
export class BadRequest extends Error {}

type Body = Readonly<Record<string, unknown>>;

export interface Route {
  /** Whether it asks for a completion. */
  readonly counted: boolean;
  answer(body: Body, signal: AbortSignal): Promise<unknown>;
}

/** Routes of a dialect by method and path: those that tell it from others, and those that complete. */
export function routesOf(
  dialect: ServedDialect,
  served: ServedModel,
  faults: ServerFaults,
): ReadonlyMap<string, Route> {
  const { name } = served.vlm;
  const state = (value: unknown): Route => ({ counted: false, answer: async () => value });
  const completes = (answer: Route['answer']): Route => ({ counted: true, answer });
  const most = (limit: number) => (faults.topK === 0 ? limit : Math.min(limit, faults.topK));
  const models = state({
    object: 'list',
    data: [{ id: name, object: 'model', root: served.vlm.fingerprint }],
  });
  const chat = (limit: number, byId: boolean) =>
    completes((body, signal) => chatCompletion(served, body, signal, most(limit), byId && faults.topK === 0));
  const tokenize: Route = {
    counted: false,
    answer: async ({ prompt }) => {
      const tokens = served.vlm.tokenize?.(String(prompt ?? '')) ?? [];
      return { tokens, count: tokens.length };
    },
  };
  const version = packageInfo().version;
  switch (dialect) {
    case 'vllm':
      return new Map([
        ['GET /version', state({ version: `0.21.0+fsyn.${version}` })],
        ['GET /v1/models', models],
        ['POST /tokenize', tokenize],
        ['POST /v1/chat/completions', chat(20, true)],
      ]);
    case 'sglang':
      return new Map([
        [
          'GET /get_server_info',
          state({ version: `fsyn ${version}`, model_path: name, served_model_name: name }),
        ],
        ['GET /v1/models', models],
        ['POST /tokenize', tokenize],
        ['POST /v1/chat/completions', chat(20, false)],
        ['POST /generate', completes((body, signal) => sglangGenerate(served, body, signal, most(1e9)))],
      ]);
    case 'llamacpp':
      return new Map([
        ['GET /props', state({ build_info: `fsyn ${version}`, model_path: name, chat_template: '' })],
        ['GET /v1/models', models],
        ['POST /tokenize', tokenize],
        ['POST /v1/chat/completions', chat(1e9, false)],
      ]);
    case 'ollama':
      return new Map([
        ['GET /api/version', state({ version: `0.12.11-fsyn.${version}` })],
        ['GET /api/tags', state({ models: [{ name, digest: served.vlm.fingerprint }] })],
        ['POST /api/chat', completes((body, signal) => ollamaChat(served, body, signal, most(20)))],
      ]);
    case 'openai':
      return new Map([
        ['GET /v1/models', models],
        ['POST /v1/chat/completions', chat(20, false)],
      ]);
  }
}

/** `/v1/chat/completions`; `logprob_token_ids` where the dialect has it. */
async function chatCompletion(
  served: ServedModel,
  body: Body,
  signal: AbortSignal,
  limit: number,
  takesIds: boolean,
): Promise<unknown> {
  const { text, image, prefill } = readMessages(body.messages);
  const completion = await served.complete({
    text,
    image,
    prefill,
    maxTokens: readCount(body.max_tokens ?? body.max_completion_tokens, 16),
    bias: readBias(body.logit_bias),
    salt: String(body.cache_salt ?? ''),
    signal,
  });
  const ids =
    takesIds && Array.isArray(body.logprob_token_ids) ? body.logprob_token_ids.map(Number) : undefined;
  const wanted = Math.min(readCount(body.top_logprobs, 0), limit);
  const asIds = body.return_tokens_as_token_ids === true;
  const entry = (
    { id, logProbabilities }: { id: number; logProbabilities: Float32Array },
    label: string,
  ) => ({
    token: asIds ? `token_id:${id}` : label,
    logprob: logProbabilities[id],
    bytes: Array.from(Buffer.from(label)),
  });
  const content = completion.tokens.map((token) => ({
    ...entry(token, token.text),
    top_logprobs: (ids ?? topOf(token, wanted)).map((id) =>
      entry({ id, logProbabilities: token.logProbabilities }, labelOf(served, completion, id)),
    ),
  }));
  return {
    id: `chatcmpl-${contentId([text, prefill])}`,
    object: 'chat.completion',
    model: served.vlm.name,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: textOf(completion) },
        finish_reason: completion.stopped ? 'stop' : 'length',
        logprobs: body.logprobs === true ? { content } : null,
      },
    ],
    usage: {
      prompt_tokens: completion.promptTokens,
      completion_tokens: completion.tokens.length,
      total_tokens: completion.promptTokens + completion.tokens.length,
    },
  };
}

/** SGLang's `/generate`: text with the picture beside it, chosen ids' log-probabilities. */
async function sglangGenerate(
  served: ServedModel,
  body: Body,
  signal: AbortSignal,
  limit: number,
): Promise<unknown> {
  const sampling = (body.sampling_params ?? {}) as Body;
  const completion = await served.complete({
    text: String(body.text ?? ''),
    image: readDataUrl(body.image_data),
    prefill: '',
    maxTokens: readCount(sampling.max_new_tokens, 16),
    bias: readBias(sampling.logit_bias),
    salt: String(body.extra_key ?? ''),
    signal,
  });
  const ids = (Array.isArray(body.token_ids_logprob) ? body.token_ids_logprob : [])
    .map(Number)
    .slice(0, limit);
  const triple = ({ logProbabilities, id, text }: CompletedToken) => [logProbabilities[id], id, text];
  return {
    text: textOf(completion),
    meta_info: {
      prompt_tokens: completion.promptTokens,
      completion_tokens: completion.tokens.length,
      finish_reason: { type: completion.stopped ? 'stop' : 'length' },
      output_token_logprobs: completion.tokens.map(triple),
      output_token_ids_logprobs: completion.tokens.map(({ logProbabilities }) =>
        ids.map((id) => [logProbabilities[id], id, labelOf(served, completion, id)]),
      ),
    },
  };
}

/** Ollama's `/api/chat`: pictures apart from the text, the top tokens only. */
async function ollamaChat(
  served: ServedModel,
  body: Body,
  signal: AbortSignal,
  limit: number,
): Promise<unknown> {
  const [message] = (Array.isArray(body.messages) ? body.messages : []) as Body[];
  const [image] = (Array.isArray(message?.images) ? message.images : []) as string[];
  if (typeof image !== 'string') throw new BadRequest('Expected one picture in messages[0].images.');
  const options = (body.options ?? {}) as Body;
  const completion = await served.complete({
    text: String(message.content ?? ''),
    image: Buffer.from(image, 'base64'),
    prefill: '',
    maxTokens: readCount(options.num_predict, 16),
    bias: new Map(),
    salt: '',
    signal,
  });
  const wanted = Math.min(readCount(body.top_logprobs, 0), limit);
  return {
    model: served.vlm.name,
    message: { role: 'assistant', content: textOf(completion) },
    done: true,
    prompt_eval_count: completion.promptTokens,
    logprobs:
      body.logprobs === true
        ? completion.tokens.map((token) => ({
            token: token.text,
            logprob: token.logProbabilities[token.id],
            top_logprobs: topOf(token, wanted).map((id) => ({
              token: labelOf(served, completion, id),
              logprob: token.logProbabilities[id],
            })),
          }))
        : undefined,
  };
}

function readMessages(messages: unknown): Pick<ServedRequest, 'image' | 'text' | 'prefill'> {
  const list = (Array.isArray(messages) ? messages : []) as { role?: unknown; content?: unknown }[];
  const [user, assistant, ...more] = list.filter(({ role }) => role !== 'system');
  if (user?.role !== 'user' || more.length > 0 || (assistant && assistant.role !== 'assistant'))
    throw new BadRequest('Expected one user message and at most one begun assistant message.');
  const parts = (Array.isArray(user.content) ? user.content : []) as Body[];
  const images = parts.filter(({ type }) => type === 'image_url');
  if (images.length !== 1) throw new BadRequest(`Expected one picture but received ${images.length}.`);
  const text = parts
    .filter(({ type }) => type === 'text')
    .map((part) => String(part.text))
    .join('\n');
  const prefill = typeof assistant?.content === 'string' ? assistant.content : '';
  return { image: readDataUrl((images[0].image_url as Body | undefined)?.url), text, prefill };
}

function readDataUrl(url: unknown): Uint8Array {
  const [, data] = /^data:image\/[a-z]+;base64,(.+)$/u.exec(typeof url === 'string' ? url : '') ?? [];
  if (data === undefined) throw new BadRequest('Expected a picture as a data URL; nothing is fetched.');
  return Buffer.from(data, 'base64');
}

function readCount(value: unknown, fallback: number): number {
  if (value === undefined || value === null) return fallback;
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 1e6)
    throw new BadRequest(`Expected a count but received ${JSON.stringify(value)}.`);
  return value as number;
}

function readBias(value: unknown): ReadonlyMap<number, number> {
  if (typeof value !== 'object' || value === null) return new Map();
  return new Map(Object.entries(value).map(([id, shift]) => [Number(id), Number(shift)]));
}

/** The likeliest tokens, ties to the lower id. */
function topOf({ logProbabilities }: CompletedToken, count: number): number[] {
  return Array.from(logProbabilities.keys())
    .sort((a, b) => logProbabilities[b] - logProbabilities[a] || a - b)
    .slice(0, count);
}

/** What stands for a token that was not written: its id, where it is not among those that were. */
function labelOf({ vlm }: ServedModel, { tokens }: Completion, id: number): string {
  return tokens.find((token) => token.id === id)?.text ?? vlm.tokenText?.(id) ?? `token_id:${id}`;
}

function textOf({ tokens, stopped }: Completion): string {
  return tokens
    .slice(0, stopped ? -1 : undefined)
    .map(({ text }) => text)
    .join('')
    .trim();
}

function contentId(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);
}
