import type { Dialect } from '../dialect.js';
import { askChat, modelEntry } from './openai.js';

/**
 * llama.cpp's server: the chat route takes any `top_logprobs`, so that every token that matters comes back.
 */
export const llamacpp: Dialect = {
  name: 'llamacpp',
  exact: false,
  prefills: true,
  async identify(client, model, signal) {
    const props = (await client.get('/props', signal)) as {
      build_info?: string;
      model_path?: string;
      chat_template?: string;
    } | null;
    if (typeof props?.build_info !== 'string') return null;
    await modelEntry(client, model, signal);
    return JSON.stringify(['llamacpp', props.build_info, props.model_path, props.chat_template]);
  },
  ask: (client, model, query, signal) =>
    askChat(
      client,
      model,
      query,
      { top_logprobs: 4096, cache_prompt: query.salt === '', post_sampling_probs: false },
      signal,
    ),
};
