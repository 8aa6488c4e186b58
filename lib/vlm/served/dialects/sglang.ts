import { FsynError } from '../../../errors.js';
import { type Dialect, dataUrl } from '../dialect.js';

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
  prefills: false,
  async identify(client, model, signal) {
    const info = (await client.get('/get_server_info', signal)) as {
      version?: string;
      model_path?: string;
    } | null;
    if (typeof info?.model_path !== 'string') return null;
    return JSON.stringify(['sglang', info.version, info.model_path, model]);
  },
  async ask(client, _, { png, text, maxTokens, wanted, salt, bias }, signal) {
    const answer = await client.post(
      '/generate',
      {
        text,
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
    if (!output_token_logprobs || output_token_logprobs.length === 0) {
      throw new FsynError('SERVER', `${client.origin} gave no log-probabilities.`);
    }
    const named = ([logProbability, id]: Triple) => [`token_id:${id}`, logProbability] as const;
    return {
      promptTokens: prompt_tokens,
      tokens: output_token_logprobs.map((triple, i) => ({
        token: `token_id:${triple[1]}`,
        text: triple[2] ?? '',
        logProbability: triple[0],
        others: new Map([named(triple), ...(output_token_ids_logprobs?.[i] ?? []).map(named)]),
      })),
    };
  },
};
