import { once } from 'node:events';
import { loadModels } from '../runner/models.js';
import { type ServedDialect, servedDialects } from '../serve/routes.js';
import { serve as startServer } from '../serve/server.js';
import { asUsage, type Command, exitCodes } from './command.js';
import { loadSettings, runtimeOptions } from './model-options.js';

export const serve: Command = {
  name: 'serve',
  summary: 'put a model behind a server on loopback, in the words of a model server',
  description:
    'Answers chat completions with a picture and log-probabilities, as vLLM, SGLang, llama.cpp, Ollama or OpenAI do, on 127.0.0.1\n' +
    'until it is interrupted. For trying what speaks to such servers, and for tools that speak to nothing else.\n' +
    '  fsyn serve --model llava-tiny --port 8000 &\n' +
    '  fsyn bench --model served:http://127.0.0.1:8000/v1#llava-tiny --served-side 64 --served-multiple 8 --served-grid 8',
  options: {
    model: {
      kind: 'string',
      value: 'DIR',
      help: 'embedded model or model directory',
      fallback: 'llava-tiny',
    },
    port: {
      kind: 'integer',
      value: 'N',
      minimum: 0,
      help: 'port on 127.0.0.1; 0 takes a free one',
      fallback: 8000,
    },
    as: {
      kind: 'string',
      value: 'NAME',
      choices: servedDialects,
      help: 'kind of server',
      fallback: 'vllm',
    },
    ...runtimeOptions,
  },
  async run(values, io) {
    const settings = loadSettings(values, io);
    const [model] = await asUsage(() => loadModels([values.string('model')!], settings));
    try {
      const dialect = values.string('as') as ServedDialect;
      const server = await startServer(model, { port: values.number('port'), dialect });
      io.out(`${model.name} as ${dialect} on ${server.url}/v1; interrupt to end.\n`);
      if (!io.signal.aborted) await once(io.signal, 'abort');
      await server.close();
      return exitCodes.ok;
    } finally {
      model.dispose();
    }
  },
};
