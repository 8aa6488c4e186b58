import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { ServerClient } from '../../lib/vlm/served/client.js';
import type { ServedQuery } from '../../lib/vlm/served/dialect.js';
import { dialects } from '../../lib/vlm/served/dialects.js';
import { openServed, type ServedOptions, servedDefaults } from '../../lib/vlm/served/vlm.js';

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
});

async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const query: ServedQuery = {
  png: new Uint8Array(8),
  text: 'Is there a cat?',
  template: undefined,
  prefill: '',
  maxTokens: 1,
  wanted: [],
  salt: '',
  bias: {},
};
const client = (origin: string, more: { apiKey?: string; timeout?: number; retries?: number } = {}) =>
  new ServerClient(origin, { apiKey: undefined, concurrency: 4, timeout: 5, retries: 0, ...more });
const ask = (origin: string, dialect: string, more: Parameters<typeof client>[1] = {}) =>
  dialects.find(({ name }) => name === dialect)!.ask(client(origin, more), 'm', query);
/** Answers every request with this text. */
const says =
  (text: string, status = 200, headers: Record<string, string> = {}): RequestListener =>
  (_, response) => {
    response.writeHead(status, headers);
    response.end(text);
  };
const chat = (content: unknown) => JSON.stringify({ choices: [{ logprobs: { content } }] });

describe('an odd answer is named and never measured', () => {
  test.each([
    ['a page', 'openai', '<html>Welcome</html>', /not JSON: <html>Welcome/],
    ['nothing', 'openai', '', /not JSON/],
    ['NaN', 'openai', '{"choices":[{"logprobs":{"content":[{"token":"a","logprob":NaN}]}}]}', /not JSON/],
    ['null', 'openai', 'null', /answered null, not an object/],
    ['a list', 'openai', '[]', /answered an array of 0 elements, not an object/],
    ['an error with status 200', 'openai', '{"error":{"message":"no GPU"}}', /no GPU/],
    ['no choices', 'openai', '{}', /gave no log-probabilities/],
    ['choices of another kind', 'vllm', '{"choices":"yes"}', /gave no log-probabilities/],
    ['logprobs null', 'vllm', '{"choices":[{"logprobs":null}]}', /gave no log-probabilities/],
    ['a choice null', 'vllm', '{"choices":[null]}', /gave no log-probabilities/],
    ['no list', 'openai', chat('yes'), /expected a list/],
    ['a token that is none', 'openai', chat([{ token: 5, logprob: -1 }]), /expected a text for 0.token/],
    ['a number as text', 'openai', chat([{ token: 'a', logprob: '-1' }]), /expected a finite number/],
    [
      'the token unknown',
      'openai',
      chat([{ token: 'a', logprob: null }]),
      /no log-probability of the token "a"/,
    ],
    ['-9999', 'vllm', chat([{ token: 'a', logprob: -9999 }]), /no log-probability of the token "a"/],
    ['a probability', 'llamacpp', chat([{ token: 'a', logprob: 0.8 }]), /gave 0.8 as a log-probability/],
    [
      'thoughts',
      'openai',
      '{"choices":[{"message":{"reasoning_content":"Hm."}}]}',
      /thinks before it answers/,
    ],
    ['thoughts', 'ollama', '{"message":{"thinking":"Hm."}}', /thinks before it answers/],
    ['an old version', 'ollama', '{"message":{}}', /Ollama 0.12.11/],
    ['no list', 'ollama', '{"logprobs":{"a":1}}', /expected a list/],
    ['no triples', 'sglang', '{"meta_info":{"output_token_logprobs":[5]}}', /gave no log-probabilities/],
    [
      'a wrong triple',
      'sglang',
      '{"meta_info":{"output_token_logprobs":[["x",1,"a"]]}}',
      /expected a finite/,
    ],
  ])('%s (%s)', async (_, dialect, text, message) => {
    await expect(ask(await listen(says(text)), dialect)).rejects.toMatchObject({
      code: 'SERVER',
      message: expect.stringMatching(message),
    });
  });

  test('tokens without a number are left out, others stay', async () => {
    const others = [
      { token: 'b', logprob: -2 },
      { token: 'c', logprob: null },
      { token: 'd', logprob: -9999 },
    ];
    const { tokens } = await ask(
      await listen(says(chat([{ token: 'a', logprob: -0.1, top_logprobs: others }]))),
      'openai',
    );
    expect([...tokens[0].others]).toEqual([
      ['b', -2],
      ['a', -0.1],
    ]);
  });
});

describe('an odd connection', () => {
  test('redirects are not followed', async () => {
    let reached = 0;
    const other = await listen((_, response) => {
      reached++;
      response.end('{}');
    });
    const origin = await listen(says('', 307, { location: `${other}/v1/chat/completions` }));
    await expect(ask(origin, 'openai', { apiKey: 'secret' })).rejects.toThrow(/answered 307: http/);
    expect(reached).toBe(0);
  });

  test('an answer that comes in drops ends at the time limit', async () => {
    const origin = await listen((_, response) => {
      response.writeHead(200);
      const clock = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(clock));
    });
    await expect(ask(origin, 'openai', { timeout: 0.2 })).rejects.toThrow(/no answer within 0.2 s/);
  });

  test('10 MB are read, an endless answer is not', async () => {
    const good = chat([{ token: 'a', logprob: -0.1 }]);
    const large = await listen(says(good + ' '.repeat(10 * 2 ** 20)));
    expect((await ask(large, 'openai')).tokens).toHaveLength(1);
    const block = Buffer.alloc(2 ** 20, ' ');
    const endless = await listen((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(block));
      };
      response.on('drain', more);
      more();
    });
    await expect(ask(endless, 'openai', { timeout: 60 })).rejects.toThrow(/more than 67108864 bytes/);
  });

  test('what cannot mend itself is not tried again, and no message holds the key', async () => {
    const origin = await listen(says('{}'));
    const once = client(origin.replace('http', 'https'), { retries: 5 });
    await expect(once.post('/v1', {})).rejects.toMatchObject({ code: 'SERVER' });
    expect(once.sent).toBe(1);
    const echo = await listen(says('Incorrect key sk-secret-1', 401));
    const refused = client(echo, { apiKey: 'sk-secret-1', retries: 5 });
    await expect(refused.post('/v1', {})).rejects.toThrow(/401: Incorrect key \*\*\*/);
    expect(refused.sent).toBe(1);
    const named = openServed('served:http://me:pass@127.0.0.1:1/v1#m', servedDefaults);
    await expect(named).rejects.toThrow(/without a name and password/);
    await named.catch((error: Error) => expect(error.message).not.toContain('pass@'));
  });

  test('a burst of refusals halves the requests at a time once', async () => {
    const held: ServerResponse[] = [];
    const origin = await listen((_, response) => void held.push(response));
    const many = new ServerClient(origin, { apiKey: undefined, concurrency: 12, timeout: 5, retries: 5 });
    const all = Promise.all(Array.from({ length: 6 }, () => many.post('/x', {})));
    await vi.waitFor(() => expect(held).toHaveLength(4));
    for (const response of held.splice(0)) response.writeHead(429, { 'Retry-After': '0.01' }).end('{}');
    // Of four places two are left; were each refusal to halve them, one would be.
    await vi.waitFor(() => expect(held).toHaveLength(2));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(held).toHaveLength(2);
    const clock = setInterval(() => {
      for (const response of held.splice(0)) response.end('{}');
    }, 5);
    await all;
    clearInterval(clock);
  });
});

/** A server of OpenAI's kind that writes these tokens, whatever it is asked. */
async function writer(
  tokens: readonly { token: string; top?: Record<string, number> }[],
  more: Partial<ServedOptions> = {},
) {
  let calls = 0;
  const origin = await listen((request, response) => {
    if (request.url === '/v1/models') return void response.end('{"data":[{"id":"m"}]}');
    if (request.method !== 'POST') return void response.writeHead(404).end('{}');
    request.resume().on('end', () => {
      // Pictures must differ for the model to see them.
      const shift = calls++ / 1e3;
      const content = tokens.map(({ token, top = {} }) => ({
        token,
        logprob: -0.1 - shift,
        top_logprobs: Object.entries(top).map(([other, logprob]) => ({ token: other, logprob })),
      }));
      response.end(JSON.stringify({ choices: [{ logprobs: { content } }], usage: { prompt_tokens: 500 } }));
    });
  });
  const accept = ['picture', 'repeat', 'collision', 'tokens'];
  return openServed(`served:${origin}/v1#m`, { ...servedDefaults, side: 56, accept, ...more });
}

describe('choices and thoughts', () => {
  const image = { data: new Uint8Array(56 * 56 * 3), shape: [56, 56, 3] };
  const prepare = async (tokens: Parameters<typeof writer>[0]) => {
    const { default: ndarray } = await import('ndarray');
    const served = await writer(tokens);
    return served.prepare(ndarray(image.data, image.shape), 'Which? A cat B dog', { choices: ['A', 'B'] });
  };

  test.each([
    [[{ token: 'B', top: { ' B': -3 } }], 'B'],
    [[{ token: ' B', top: { B: -3 } }], ' B'],
    [[{ token: '(B', top: {} }, { token: ')' }], '(B'],
  ])('a letter is scored as the token that the model wrote: %j', async (tokens, written) => {
    const { answer } = await prepare(tokens);
    expect(answer).toMatchObject({ decision: 'B', decisionKind: 'choice', decisionIndex: 0 });
    expect(answer.tokens[0]).toBe(written);
  });

  test('what is decided behind other words is refused where no answer can be begun', async () => {
    await expect(prepare([{ token: 'Answer' }, { token: ':' }, { token: ' B' }])).rejects.toThrow(
      /decides only after "Answer:"/,
    );
  });

  test.each(['<think>', '\n<think>', '<|channel|>analysis', '[THINK]', '<thought>'])(
    '%j is refused',
    async (token) => {
      await expect(prepare([{ token }, { token: 'B' }])).rejects.toThrow(/thinks before it answers/);
    },
  );

  test('SGLang takes a template, with the begun answer behind it', async () => {
    const prompts: string[] = [];
    const origin = await listen((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on('end', () => {
        prompts.push((JSON.parse(body) as { text: string }).text);
        response.end('{"meta_info":{"output_token_logprobs":[[-0.5,7,"yes"]]}}');
      });
    });
    const sglang = dialects.find(({ name }) => name === 'sglang')!;
    await sglang.ask(client(origin), 'm', {
      ...query,
      text: 'Is $& there?',
      template: 'USER: <image>\n{question} ASSISTANT:',
      prefill: ' The',
    });
    expect(prompts).toEqual(['USER: <image>\nIs $& there? ASSISTANT: The']);
    await expect(writer([{ token: 'a' }], { template: 'no place' })).rejects.toThrow(
      /\{question\} in one place/,
    );
  });
});
