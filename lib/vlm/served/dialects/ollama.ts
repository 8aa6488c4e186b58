import { FsynError } from '../../../errors.js';
import type { Dialect } from '../dialect.js';
import { readTokens, refuseThoughts } from '../tokens.js';

/** Ollama (0.12.11 and newer): its own chat route; the OpenAI one drops log-probabilities. */
export const ollama: Dialect = {
  name: 'ollama',
  exact: false,
  prefills: false,
  async identify(client, model, signal) {
    const version = (await client.get('/api/version', signal)) as { version?: string } | null;
    if (typeof version?.version !== 'string') return null;
    const { models = [] } = ((await client.get('/api/tags', signal)) ?? {}) as {
      models?: readonly { name: string; digest: string }[];
    };
    const found = models.find(({ name }) => name === model);
    if (found === undefined) {
      const names = models.map(({ name }) => name).join(', ');
      throw new FsynError(
        'SERVER',
        `${client.origin} has no model ${JSON.stringify(model)}; it has: ${names}.`,
      );
    }
    return JSON.stringify(['ollama', version.version, found.digest]);
  },
  async ask(client, model, { png, text, maxTokens }, signal) {
    const answer = await client.post(
      '/api/chat',
      {
        model,
        messages: [{ role: 'user', content: text, images: [Buffer.from(png).toString('base64')] }],
        stream: false,
        think: false,
        logprobs: true,
        top_logprobs: 20,
        options: { num_predict: maxTokens, temperature: 0 },
      },
      signal,
    );
    refuseThoughts(client, model, (answer.message as { thinking?: unknown } | null | undefined)?.thinking);
    if (answer.logprobs === undefined)
      throw new FsynError('SERVER', `${client.origin} gave no log-probabilities (Ollama 0.12.11 has them).`);
    return {
      promptTokens: answer.prompt_eval_count as number | undefined,
      tokens: readTokens(client, answer.logprobs),
    };
  },
};
