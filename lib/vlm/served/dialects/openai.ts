import { FsynError } from '../../../errors.js';
import type { ServerClient } from '../client.js';
import { type Dialect, dataUrl, type ServedAnswer, type ServedQuery } from '../dialect.js';
import { readTokens, refuseThoughts } from '../tokens.js';

/** A chat completion's answer in our words; the shape is OpenAI's, others give it, too. */
export async function askChat(
  client: ServerClient,
  model: string,
  { png, text, prefill, maxTokens, bias }: ServedQuery,
  extra: Readonly<Record<string, unknown>>,
  signal: AbortSignal | undefined,
): Promise<ServedAnswer> {
  const begun = prefill === '' ? [] : [{ role: 'assistant', content: prefill }];
  const body = {
    model,
    // Picture first: what many requests share comes first, which makes it worth keeping.
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: dataUrl(png) } },
          { type: 'text', text },
        ],
      },
      ...begun,
    ],
    max_tokens: maxTokens,
    temperature: 0,
    logprobs: true,
    ...(Object.keys(bias).length > 0 ? { logit_bias: bias } : {}),
    ...extra,
  };
  const answer = await client.post('/v1/chat/completions', body, signal);
  const [choice] = (Array.isArray(answer.choices) ? answer.choices : []) as ({
    logprobs?: { content?: unknown } | null;
    message?: { reasoning_content?: unknown; reasoning?: unknown } | null;
  } | null)[];
  refuseThoughts(client, model, choice?.message?.reasoning_content ?? choice?.message?.reasoning);
  const usage = answer.usage as { prompt_tokens?: number } | null | undefined;
  return { promptTokens: usage?.prompt_tokens, tokens: readTokens(client, choice?.logprobs?.content) };
}

export async function modelEntry(client: ServerClient, model: string, signal?: AbortSignal) {
  const { data } = ((await client.get('/v1/models', signal)) ?? {}) as {
    data?: readonly { id?: string; root?: string }[];
  };
  if (!Array.isArray(data)) return undefined;
  const found = data.find(({ id }) => id === model);
  if (found === undefined) {
    const names = data.map(({ id }) => id).join(', ');
    throw new FsynError(
      'SERVER',
      `${client.origin} has no model ${JSON.stringify(model)}; it has: ${names}.`,
    );
  }
  return found;
}

/** OpenAI's chat completions, and every server that has no more than these: the 20 likeliest tokens. */
export const openai: Dialect = {
  name: 'openai',
  exact: false,
  prefills: false,
  async identify(client, model, signal) {
    const entry = await modelEntry(client, model, signal);
    return entry === undefined ? null : JSON.stringify(['openai', entry.id, entry.root]);
  },
  ask: (client, model, query, signal) => askChat(client, model, query, { top_logprobs: 20 }, signal),
};
