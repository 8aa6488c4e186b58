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
import { checkModel, type ModelCheck } from '../measure/model-check.js';
import { packageInfo } from '../package.js';
import { embeddedModels, loadModels } from '../runner/models.js';
import { wrapText } from '../text-table.js';
import type { DtypeChoice } from '../vlm/files/dtypes.js';
import { type Command, type CommandIo, exitCodes } from './command.js';
import { dtypeOption, runtimeOptions } from './model-options.js';
import { tryProviderElsewhere } from './provider-probe.js';

/** A model that was loaded; one that was named was tried as well. */
interface ModelDiagnosis {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
  readonly check?: ModelCheck;
}

/** What `fsyn doctor --json` prints. */
interface Diagnosis {
  readonly fsyn: string;
  readonly node: string;
  readonly platform: string;
  readonly inference: InferenceFacts | null;
  readonly kernel: string;
  /** The CUDA plugin's device for interaction indices; null without one. */
  readonly cuda: { readonly device: string | null; readonly problem: string | null };
  readonly models: readonly ModelDiagnosis[];
  readonly problems: readonly string[];
}

export const doctor: Command = {
  name: 'doctor',
  summary: 'tell what this machine and installation can do',
  description:
    'Checks the native addon, ONNX Runtime, its execution providers, the processor’s kernels and the embedded models;\n' +
    'with --model also a model directory: one masked pass, how passes are shared, and which explainers there are.\n' +
    'Exit code 1 when something that fsyn needs is broken.',
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
    const models: ModelDiagnosis[] = [];
    if (inference) {
      for (const name of embeddedModels().keys()) models.push(await diagnose(name, undefined, false, io));
      for (const name of values.list('model'))
        models.push(await diagnose(name, dtypeOption(values), true, io));
    }
    for (const { name, ok, detail } of models) if (!ok) problems.push(`model ${name}: ${detail}`);
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

async function diagnose(
  name: string,
  dtype: DtypeChoice | undefined,
  tried: boolean,
  { signal }: CommandIo,
): Promise<ModelDiagnosis> {
  try {
    const [model] = await loadModels([name], { dtype, threads: 1, providers: ['cpu'], signal });
    try {
      const detail = `${model.architecture}, fingerprint ${model.fingerprint}`;
      return { name, ok: true, detail, ...(tried ? { check: await checkModel(model, signal) } : {}) };
    } finally {
      model.dispose();
    }
  } catch (error) {
    signal.throwIfAborted();
    return { name, ok: false, detail: reasonOf(error) };
  }
}

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
  for (const { name, ok, detail, check } of models)
    lines.push(
      `model       ${name}: ${ok ? 'ok, ' : 'BROKEN, '}${detail}`,
      ...(check ? checkLines(check) : []),
    );
  lines.push(
    problems.length === 0 ? 'Everything that fsyn needs works.' : `${problems.length} problem(s):`,
    ...problems.map((problem) => `  ${problem}`),
  );
  return `${lines.join('\n')}\n`;
}

function checkLines(check: ModelCheck): string[] {
  const { answer, textMasking, present, absent, fallbacks, explainers, leftOut } = check;
  const lines = [
    `answer ${JSON.stringify(answer)}; ${present.toFixed(3)} with everything present, ${absent.toFixed(3)} with everything masked`,
    textMasking.refused === undefined
      ? 'words can be removed'
      : `words cannot be removed, but attended (--text-masking attend): ${textMasking.refused}`,
    fallbacks.length === 0 ? 'passes are shared in every way' : 'passes are not shared in every way:',
    ...fallbacks.map(({ code, reason }) => `  ${code}: ${reason}`),
    `explainers ${explainers.join(', ')}`,
    ...[...namesByReason(leftOut)].map(([reason, names]) => `no ${names.join(', ')}: ${reason}`),
  ];
  return lines.map((line) => `            ${line}`);
}

function namesByReason(leftOut: ModelCheck['leftOut']): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const { name, reason } of leftOut) names.set(reason, [...(names.get(reason) ?? []), name]);
  return names;
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
