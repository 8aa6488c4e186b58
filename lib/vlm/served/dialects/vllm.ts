import type { Dialect, ServedQuery } from '../dialect.js';
import { askChat, modelEntry } from './openai.js';

/**
 * vLLM: log-probabilities of chosen ids (`logprob_token_ids`), tokens as ids, begun answers, salted caches.
 */
export const vllm: Dialect = {
  name: 'vllm',
  exact: true,
  prefills: true,
  async identify(client, model, signal) {
    const version = (await client.get('/version', signal)) as { version?: string } | null;
    if (typeof version?.version !== 'string') return null;
    const entry = await modelEntry(client, model, signal);
    return JSON.stringify(['vllm', version.version, entry?.id, entry?.root]);
  },
  async ask(client, model, query, signal) {
    const answer = await askChat(client, model, query, extras(query, true), signal);
    if (query.wanted.length > 0) return answer;
    // Ids come instead of texts: the first look takes both.
    const read = await askChat(client, model, query, extras(query, false), signal);
    return {
      ...answer,
      tokens: answer.tokens.map((token, i) => ({ ...token, text: read.tokens[i]?.text ?? '' })),
    };
  },
};

function extras({ prefill, wanted, salt }: ServedQuery, asIds: boolean): Record<string, unknown> {
  return {
    ...(wanted.length > 0
      ? { logprob_token_ids: wanted.map((token) => Number(token.replace('token_id:', ''))) }
      : { top_logprobs: 20 }),
    return_tokens_as_token_ids: asIds,
    chat_template_kwargs: { enable_thinking: false },
    // A model's generation_config would otherwise bring penalties of its own.
    top_p: 1,
    top_k: -1,
    repetition_penalty: 1,
    ...(salt === '' ? {} : { cache_salt: salt }),
    ...(prefill === '' ? {} : { continue_final_message: true, add_generation_prompt: false }),
  };
}
