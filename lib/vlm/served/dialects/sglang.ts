import { FsynError } from '../../../errors.js';
import { type Dialect, dataUrl } from '../dialect.js';
import { readTokens } from '../tokens.js';
import { modelEntry } from './openai.js';

type Triple = readonly [logProbability: number, id: number, text: string | null];

interface MetaInfo {
  readonly prompt_tokens?: number;
  readonly output_token_logprobs?: readonly Triple[];
  readonly output_token_ids_logprobs?: readonly (readonly Triple[])[];
}

/** SGLang's own route: log-probabilities of chosen ids; its OpenAI route has the likeliest only. */
export const sglang: Dialect = {
  name: 'sglang',
  exact: true,
  prefills: 'template',
  async identify(client, model, signal) {
    const info = (await client.get('/get_server_info', signal)) as {
      version?: string;
      model_path?: string;
    } | null;
    if (typeof info?.model_path !== 'string') return null;
    await modelEntry(client, model, signal);
    return JSON.stringify(['sglang', info.version, info.model_path, model]);
  },
  async ask(client, _, { png, text, template, prefill, maxTokens, wanted, salt, bias }, signal) {
    const answer = await client.post(
      '/generate',
      {
        // A function: `$&` in a question is no pattern.
        text: (template ?? '{question}').replace('{question}', () => text) + prefill,
        image_data: dataUrl(png),
        sampling_params: { max_new_tokens: maxTokens, temperature: 0, logit_bias: bias },
        return_logprob: true,
        return_text_in_logprobs: true,
        ...(wanted.length > 0
          ? { token_ids_logprob: wanted.map((token) => Number(token.replace('token_id:', ''))) }
          : {}),
        ...(salt === '' ? {} : { extra_key: salt }),
      },
      signal,
    );
    const { prompt_tokens, output_token_logprobs, output_token_ids_logprobs } = (answer.meta_info ??
      {}) as MetaInfo;
    if (!isTriples(output_token_logprobs)) {
      throw new FsynError('SERVER', `${client.origin} gave no log-probabilities.`);
    }
    const named = ([logprob, id]: Triple) => ({ token: `token_id:${id}`, logprob });
    const tokens = readTokens(
      client,
      output_token_logprobs.map((triple, i) => ({
        ...named(triple),
        top_logprobs: (output_token_ids_logprobs?.[i] ?? []).map(named),
      })),
    );
    return {
      promptTokens: prompt_tokens,
      tokens: tokens.map((token, i) => ({ ...token, text: output_token_logprobs[i][2] ?? '' })),
    };
  },
};

function isTriples(value: unknown): value is readonly Triple[] {
  return Array.isArray(value) && value.every(Array.isArray);
}
