import { reasonOf } from '../errors.js';
import {
  type InferenceFacts,
  type ProviderFact,
  providerNames,
  providerRemedy,
  runtimeFacts,
} from '../inference/runtime.js';
import { cudaFacts } from '../interactions/device.js';
import { kernelFacts } from '../interactions/native.js';
import { packageInfo } from '../package.js';
import { embeddedModels, loadModels } from '../runner/models.js';
import { wrapText } from '../text-table.js';
import { type Command, exitCodes } from './command.js';
import { dtypeOption, runtimeOptions } from './model-options.js';
import { tryProviderElsewhere } from './provider-probe.js';

/** What `fsyn doctor --json` prints. */
interface Diagnosis {
  readonly fsyn: string;
  readonly node: string;
  readonly platform: string;
  readonly inference: InferenceFacts | null;
  readonly kernel: string;
  /** The CUDA plugin's device for interaction indices; null without one. */
  readonly cuda: { readonly device: string | null; readonly problem: string | null };
  readonly models: readonly { name: string; ok: boolean; detail: string }[];
  readonly problems: readonly string[];
}

export const doctor: Command = {
  name: 'doctor',
  summary: 'tell what this machine and installation can do',
  description:
    'Checks the native addon, ONNX Runtime, its execution providers, the processor’s kernels and the embedded models;\n' +
    'with --model also a model directory. Exit code 1 when something that fsyn needs is broken.',
  options: {
    model: { kind: 'list', value: 'DIR', help: 'model directory to check; repeatable' },
    dtype: runtimeOptions.dtype,
    json: { kind: 'flag', help: 'print the diagnosis as JSON' },
  },
  async run(values, io) {
    const problems: string[] = [];
    let inference: InferenceFacts | null = null;
    try {
      const providers = await Promise.all(providerNames().map(tryProviderElsewhere));
      inference = { ...runtimeFacts(), providers };
    } catch (error) {
      problems.push(reasonOf(error));
    }
    const models: Diagnosis['models'][number][] = [];
    if (inference) {
      for (const name of [...embeddedModels().keys(), ...values.list('model')]) {
        try {
          const [model] = await loadModels([name], {
            dtype: dtypeOption(values),
            threads: 1,
            memory: undefined,
            providers: ['cpu'],
            signal: io.signal,
          });
          models.push({ name, ok: true, detail: `${model.architecture}, fingerprint ${model.fingerprint}` });
          model.dispose();
        } catch (error) {
          models.push({ name, ok: false, detail: reasonOf(error) });
          problems.push(`model ${name}: ${reasonOf(error)}`);
        }
      }
    }
    const diagnosis: Diagnosis = {
      fsyn: packageInfo().version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      inference,
      kernel: inference ? kernelName(problems) : 'none',
      cuda: inference ? cudaFacts() : { device: null, problem: 'the native addon is missing' },
      models,
      problems,
    };
    io.out(values.flag('json') ? `${JSON.stringify(diagnosis)}\n` : wrapText(render(diagnosis), io.width));
    return problems.length > 0 ? exitCodes.error : exitCodes.ok;
  },
};

/** The kernel set in use, which FSYN_KERNELS can force. */
function kernelName(problems: string[]): string {
  try {
    return kernelFacts().active;
  } catch (error) {
    problems.push(reasonOf(error));
    return 'none';
  }
}

function render({ fsyn, node, platform, inference, kernel, cuda, models, problems }: Diagnosis): string {
  const lines = [`fsyn ${fsyn}, Node ${node}, ${platform}`];
  if (inference) {
    const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    lines.push(
      `processor   ${inference.processor}, ${inference.threads} threads, ${kernel} kernels`,
      `memory      ${gigabytes(inference.memoryFree)} free of ${gigabytes(inference.memoryTotal)}`,
      `cuda        ${cuda.device ?? `not available: ${cuda.problem}`}`,
      `runtime     ONNX Runtime ${inference.runtimeVersion}`,
      ...inference.providers.map(providerLine),
    );
  }
  for (const { name, ok, detail } of models)
    lines.push(`model       ${name}: ${ok ? 'ok, ' : 'BROKEN, '}${detail}`);
  lines.push(
    problems.length === 0 ? 'Everything that fsyn needs works.' : `${problems.length} problem(s):`,
    ...problems.map((problem) => `  ${problem}`),
  );
  return `${lines.join('\n')}\n`;
}

/**
 * The runtime's message with its source files, paths and boilerplate is for --json; people get its end and
 * the remedy.
 */
function providerLine({ name, available, problem }: ProviderFact): string {
  const start = `provider    ${name.padEnd(8)} `;
  if (available) return `${start}available`;
  const reason = problem
    .split('\n')[0]
    .replace(/^.*?cannot be used here: /, '')
    .replace(/^.*\b(?:FAIL|INVALID_ARGUMENT|NOT_IMPLEMENTED|EP_FAIL) : /, '')
    .replace(/^.* was false\. /, '')
    .replaceAll(/\S*[/\\](\S+)/g, '$1');
  const short = reason.length > 120 ? `${reason.slice(0, 117)}...` : reason;
  return `${start}not available: ${short.replace(/\.?$/, '.')} ${providerRemedy(name)}`;
}
