import { reasonOf } from '../errors.js';
import type { LoadModelsOptions } from '../runner/models.js';
import { type DtypeChoice, dtypes, parseDtype } from '../vlm/files/dtypes.js';
import { servedDefaults } from '../vlm/served/vlm.js';
import type { PrepareOptions } from '../vlm/types.js';
import { type CommandIo, type OptionSpec, type OptionValues, UsageError } from './command.js';

/** Options that decide how a model sees absent players; shared by commands that score cells. */
export const maskingOptions = {
  baseline: {
    kind: 'string',
    value: 'KIND',
    choices: ['blur', 'mean', 'noise'],
    help: 'what an absent image player looks like: blur, mean or noise (default: what the dataset asks for, else blur)',
  },
  'blur-radius': {
    kind: 'number',
    value: 'R',
    minimum: 0,
    help: 'Gaussian radius of the blur, as a fraction of the longer side or in pixels',
  },
  'blur-unit': {
    kind: 'string',
    value: 'UNIT',
    choices: ['relative', 'pixels'],
    help: 'unit of --blur-radius: relative or pixels',
  },
  'text-masking': {
    kind: 'string',
    value: 'KIND',
    choices: ['remove', 'attend'],
    help: 'absent tokens leave attention (remove, the default) or stay as attended pads (attend, the default for SigLIP)',
  },
} satisfies Record<string, OptionSpec>;

/** What the masking options say; undefined where they say nothing. */
export function maskingOf(values: OptionValues) {
  return {
    baseline: values.string('baseline') as PrepareOptions['baseline'],
    blurRadius: values.number('blur-radius'),
    blurUnit: values.string('blur-unit') as PrepareOptions['blurUnit'],
    textMasking: values.string('text-masking') as PrepareOptions['textMasking'],
  };
}

/** Options of models behind servers, `served:http://HOST:PORT/v1#MODEL`. */
export const servedOptions = {
  dialect: { kind: 'string', value: 'NAME', help: 'served model: kind of server (default: found by asking)' },
  'served-template': {
    kind: 'string',
    value: 'TEXT',
    help: 'served model: whole prompt with {question} and the model’s mark of a picture, where a server (SGLang) adds none',
  },
  'served-grid': {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'served model: most image players along a side',
    fallback: servedDefaults.grid,
  },
  'served-multiple': {
    kind: 'integer',
    value: 'PIXELS',
    minimum: 1,
    help: 'served model: pixels of a visual token along a side; 28 for Qwen2 and 2.5-VL, 32 for Qwen3-VL, 14 for LLaVA-1.5',
    fallback: servedDefaults.multiple,
  },
  'served-side': {
    kind: 'integer',
    value: 'PIXELS',
    minimum: 1,
    help: 'served model: side of the square picture that it takes, 336 for LLaVA-1.5 (default: any size)',
  },
  concurrency: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'served model: most requests at a time',
    fallback: servedDefaults.concurrency,
  },
  'api-key-env': { kind: 'string', value: 'NAME', help: 'served model: environment variable with its key' },
  'accept-probe': {
    kind: 'list',
    value: 'NAME',
    help: 'served model: go on although this probe fails: picture, raw, repeat, collision, tokens',
  },
} satisfies Record<string, OptionSpec>;

/** Options that decide where a model runs. */
export const runtimeOptions = {
  threads: { kind: 'integer', value: 'N', minimum: 1, help: 'threads for inference (default: all cores)' },
  memory: {
    kind: 'bytes',
    value: 'SIZE',
    help: 'what forward passes may use beside the weights, for example 2GB (default: a quarter of the memory)',
  },
  provider: {
    kind: 'list',
    value: 'NAME',
    help: 'execution providers in order of preference',
    fallback: ['cpu'],
  },
  dtype: {
    kind: 'string',
    value: 'NAME',
    help: `number format of the model files: ${dtypes.join(', ')}, q8 for quantized; or one per part: vision_encoder=fp16,decoder_model_merged=q4 (default: the first of these that is there)`,
  },
  ...servedOptions,
} satisfies Record<string, OptionSpec>;

/** What `loadModels` needs of the parsed runtime options. */
export function loadSettings(values: OptionValues, io: CommandIo): LoadModelsOptions {
  return {
    dtype: dtypeOption(values),
    threads: values.number('threads'),
    memory: values.number('memory'),
    providers: values.list('provider'),
    onProviderCheck: (model, { providers, cells, largest, bound }) =>
      io.log(
        `${model} on ${providers.join(', ')}: ${cells} cells of a made-up question are within ${largest.toExponential(1)} of the ` +
          `processor’s (accepted: ${bound}).\n`,
      ),
    served: {
      dialect: values.string('dialect'),
      template: values.string('served-template')?.replaceAll('\\n', '\n'),
      grid: values.number('served-grid'),
      multiple: values.number('served-multiple'),
      side: values.number('served-side') ?? null,
      concurrency: values.number('concurrency'),
      apiKeyEnv: values.string('api-key-env'),
      accept: values.list('accept-probe'),
      onProbe: ({ name, passed, says }) => io.log(`probe ${name}: ${passed ? 'ok' : says}\n`),
    },
    signal: io.signal,
  };
}

export const explainerTimeout = {
  kind: 'number',
  value: 'SECONDS',
  minimum: 0,
  help: 'what an explainer in another process (exec:) may take for a sample',
  fallback: 600,
} satisfies OptionSpec;

/** The number formats that --dtype asks for. @throws UsageError */
export function dtypeOption(values: OptionValues): DtypeChoice | undefined {
  const text = values.string('dtype');
  try {
    return text === undefined ? undefined : parseDtype(text);
  } catch (error) {
    throw new UsageError(`--dtype: ${reasonOf(error)}`);
  }
}
