import { access, constants, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { addon, type NativeHandle } from '../addon/addon.js';
import { runJob } from '../addon/job.js';
import { checkFixedLength, checkInteger, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument, reasonOf } from '../errors.js';
import { resolveOptions } from '../options.js';
import type { ModelMetadata, NativeFeed, NativeSession, NativeSpec } from './native.js';
import { providerRemedy, runtime } from './runtime.js';
import {
  arrayClass,
  type ElementType,
  elementTypeName,
  NativeTensor,
  packed,
  type TensorArray,
  toNdArray,
} from './tensor.js';

/** An input or output of a model. */
export interface TensorInfo {
  readonly name: string;
  readonly elementType: ElementType;
  /** A number where the extent is fixed; the symbolic name, or '' when it has none, where it is open. */
  readonly shape: readonly (number | string)[];
}

export interface SessionOptions {
  /** Execution providers by name in order of preference. Default: `['cpu']`. */
  readonly providers?: readonly string[];
  /** Threads inside one operator, >= 1. Default: 1. */
  readonly threads?: number;
  /**
   * Folder of the external weight files. Default: the model file's own folder; needed when bytes refer to
   * some.
   */
  readonly externalDataFolder?: string;
  /** How far ONNX Runtime may rewrite the graph. Default: `all`. */
  readonly optimization?: 'disable' | 'basic' | 'extended' | 'all';
  /**
   * Give memory back after every run, and read weights from their files instead of repacked copies of them:
   * for many sessions over one model. Slower. Default: false.
   */
  readonly lowMemory?: boolean;
  /**
   * Take the memory of runs from one arena that all sessions with this option share, and that is freed with
   * the last of them, in place of one each: for sessions that take turns. Not together with `lowMemory`.
   * Default: false.
   */
  readonly sharedArena?: boolean;
  /** Where to write the rewritten graph, for inspection. */
  readonly optimizedModelPath?: string;
  readonly signal?: AbortSignal;
}

export interface RunOptions {
  /** Names of the wanted outputs. Default: all. */
  readonly outputs?: readonly string[];
  /** Names of wanted outputs that stay in native memory as `NativeTensor`. */
  readonly keep?: readonly string[];
  readonly signal?: AbortSignal;
}

/** A tensor that a run takes or gives: values in JavaScript, or a handle to native memory. */
export type TensorValue = TensorArray | NativeTensor;

const OPTIMIZATION = { disable: 0, basic: 1, extended: 2, all: 99 } as const;

/**
 * A loaded ONNX model. Runs execute on threads of their own, may overlap, and can be aborted; the event loop
 * stays free.
 *
 * @example
 * const session = await Session.load('model.onnx');
 * const { logits } = await session.run({ input_ids: ndarray(new BigInt64Array([1n, 2n]), [1, 2]) });
 */
export class Session {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  readonly metadata: ModelMetadata;
  readonly #handle: NativeHandle;
  readonly #inputs: readonly NativeSpec[];
  readonly #outputs: readonly NativeSpec[];
  #disposed = false;

  private constructor(native: NativeSession) {
    this.#handle = native.handle;
    this.#inputs = native.inputs;
    this.#outputs = native.outputs;
    this.inputs = native.inputs.map(publicInfo);
    this.outputs = native.outputs.map(publicInfo);
    this.metadata = native.metadata;
  }

  /**
   * Loads a model from a file or from bytes, which are copied at the start.
   *
   * @throws FsynError MODEL_FILE (missing, truncated, external data missing), PROVIDER_UNAVAILABLE,
   *   UNSUPPORTED_OPERATOR, RUNTIME_NOT_FOUND, OUT_OF_MEMORY; rejects with the signal's reason when aborted
   */
  static async load(source: string | Uint8Array, options?: SessionOptions): Promise<Session> {
    const resolved = resolveOptions('Session.load', SESSION_DEFAULTS, options);
    const { providers, threads, externalDataFolder, optimization, optimizedModelPath, signal } = resolved;
    if (typeof resolved.lowMemory !== 'boolean')
      throw invalidArgument('lowMemory', 'a boolean', resolved.lowMemory);
    if (typeof resolved.sharedArena !== 'boolean')
      throw invalidArgument('sharedArena', 'a boolean', resolved.sharedArena);
    if (resolved.sharedArena && resolved.lowMemory)
      throw invalidArgument('sharedArena', 'false where lowMemory is true', resolved.sharedArena);
    if (!Array.isArray(providers) || providers.length === 0 || providers.some((p) => typeof p !== 'string')) {
      throw invalidArgument('providers', 'a list of provider names', providers);
    }
    checkInteger('threads', threads, 1, 1024);
    checkOneOf('optimization', optimization, Object.keys(OPTIMIZATION));
    const request = {
      ...(await modelSource(source, externalDataFolder)),
      providers: providers.map((provider) => provider.toLowerCase()),
      threads,
      optimization: OPTIMIZATION[optimization],
      lowMemory: resolved.lowMemory,
      sharedArena: resolved.sharedArena,
      ...(optimizedModelPath === undefined ? {} : { optimizedModelPath }),
    };
    runtime();
    try {
      return new Session(await runJob(() => addon().createSession(request), signal));
    } catch (error) {
      if (error instanceof FsynError && error.code === 'PROVIDER_UNAVAILABLE') {
        const remedies = providers.filter((provider) => provider !== 'cpu').map(providerRemedy);
        throw new FsynError(error.code, [error.message, ...remedies].join(' '), { cause: error });
      }
      throw error;
    }
  }

  /**
   * Computes outputs. The fed arrays are copied before this returns, so they may be changed at once;
   * int64 inputs also take an Int32Array.
   *
   * @param feeds one tensor per input, by name
   * @throws FsynError INVALID_ARGUMENT (before any work) for names, types, shapes or lengths that the model
   *   does not have; DISPOSED; INFERENCE or OUT_OF_MEMORY from the model; rejects with the signal's reason
   *   when aborted
   */
  async run(
    feeds: Readonly<Record<string, TensorValue>>,
    options?: RunOptions,
  ): Promise<Record<string, TensorValue>> {
    if (this.#disposed) throw new FsynError('DISPOSED', 'The session has been disposed.');
    const { outputs, keep, signal } = resolveOptions('Session.run', RUN_DEFAULTS, options);
    const wanted = outputs ?? this.#outputs.map((output) => output.name);
    const nativeFeeds = this.#feeds(feeds);
    const kept = new Set(keep);
    const nativeOutputs = wanted.map((name) => ({
      output: indexOf(this.#outputs, name, 'output'),
      keep: kept.delete(name),
    }));
    for (const name of kept) throw invalidArgument('keep', `names of wanted outputs (${wanted})`, name);
    const results = await runJob(() => addon().runSession(this.#handle, nativeFeeds, nativeOutputs), signal);
    return Object.fromEntries(
      results.map(({ type, shape, data, handle }, i) => [
        wanted[i],
        handle === undefined ? toNdArray(data!, shape) : new NativeTensor(handle, type, shape),
      ]),
    );
  }

  #feeds(feeds: Readonly<Record<string, TensorValue>>): NativeFeed[] {
    const given = Object.entries(feeds).map(([name, value]) => {
      const input = indexOf(this.#inputs, name, 'input');
      return nativeFeed(this.#inputs[input], input, value);
    });
    const missing = this.#inputs.filter((spec) => !Object.hasOwn(feeds, spec.name));
    if (missing.length > 0) {
      throw new FsynError(
        'INVALID_ARGUMENT',
        `Missing model inputs: ${missing.map((spec) => spec.name).join(', ')}.`,
      );
    }
    return given;
  }

  /** @internal the native session, for evaluators that run it without JavaScript in between */
  get handle(): NativeHandle {
    if (this.#disposed) throw new FsynError('DISPOSED', 'The session has been disposed.');
    return this.#handle;
  }

  /** Whether `dispose` was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * Frees the model once no run uses it any more; later runs are refused. Safe to call twice and during a
   * run.
   */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    addon().disposeSession(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const SESSION_DEFAULTS = {
  providers: ['cpu'] as readonly string[],
  threads: 1,
  externalDataFolder: undefined as string | undefined,
  optimization: 'all' as keyof typeof OPTIMIZATION,
  lowMemory: false,
  sharedArena: false,
  optimizedModelPath: undefined as string | undefined,
  signal: undefined as AbortSignal | undefined,
};

const RUN_DEFAULTS = {
  outputs: undefined as readonly string[] | undefined,
  keep: [] as readonly string[],
  signal: undefined as AbortSignal | undefined,
};

function publicInfo(spec: NativeSpec): TensorInfo {
  return {
    name: spec.name,
    elementType: elementTypeName(spec.type),
    shape: spec.shape.map((extent, axis) => (extent >= 0 ? extent : spec.symbols[axis])),
  };
}

async function modelSource(source: string | Uint8Array, externalDataFolder: string | undefined) {
  if (source instanceof Uint8Array) {
    checkFixedLength('source', source);
    if (source.length === 0) throw new FsynError('MODEL_FILE', 'The model is empty (0 bytes).');
    return {
      bytes: source,
      label: `from ${source.length} bytes`,
      ...(externalDataFolder === undefined ? {} : { externalDataFolder }),
    };
  }
  if (typeof source !== 'string' || source === '') {
    throw invalidArgument('source', 'the path of a model file or its bytes', source);
  }
  await checkFile(source);
  if (externalDataFolder === undefined || externalDataFolder === dirname(source)) {
    return { path: source, label: source };
  }
  // The runtime takes another folder for the weights only when the model comes as bytes.
  return { bytes: await readFile(source), label: source, externalDataFolder };
}

async function checkFile(path: string): Promise<void> {
  try {
    await access(path, constants.R_OK);
    const file = await open(path);
    const { size } = await file.stat().finally(() => file.close());
    if (size === 0) throw new Error('the file is empty');
  } catch (cause) {
    const reason = reasonOf(cause);
    throw new FsynError('MODEL_FILE', `Cannot read the model file ${path}: ${reason}.`, { cause });
  }
}

function indexOf(specs: readonly NativeSpec[], name: string, kind: 'input' | 'output'): number {
  const index = specs.findIndex((spec) => spec.name === name);
  if (index < 0) {
    throw new FsynError(
      'INVALID_ARGUMENT',
      `The model has no ${kind} ${JSON.stringify(name)}; its ${kind}s are: ${specs.map((s) => s.name).join(', ')}.`,
    );
  }
  return index;
}

function nativeFeed(spec: NativeSpec, input: number, value: TensorValue): NativeFeed {
  const parameter = `input ${JSON.stringify(spec.name)}`;
  if (value instanceof NativeTensor) {
    if (value.type !== spec.type) {
      throw invalidArgument(parameter, `element type ${elementTypeName(spec.type)}`, value.elementType);
    }
    checkShape(parameter, spec, value.shape);
    return { input, handle: value.handle };
  }
  if (!isNdArray(value)) throw invalidArgument(parameter, 'an ndarray or a NativeTensor', value);
  const wanted = arrayClass(spec.type);
  if (wanted === undefined) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `The model's ${parameter} has an element type that cannot be fed: ${elementTypeName(spec.type)}.`,
    );
  }
  const widened = spec.type === 7 && value.data instanceof Int32Array;
  if (!(value.data instanceof wanted) && !widened) {
    throw invalidArgument(
      parameter,
      `a ${wanted.name} for element type ${elementTypeName(spec.type)}`,
      value.data,
    );
  }
  if (value.data.buffer instanceof SharedArrayBuffer)
    throw invalidArgument(parameter, 'values that no other thread can change', value.data.buffer);
  checkFixedLength(parameter, value.data);
  checkShape(parameter, spec, value.shape);
  const data = packed(value);
  if (data.length !== value.size) throw invalidArgument(parameter, `${value.size} values`, data.length);
  return { input, data, type: spec.type, shape: value.shape };
}

function isNdArray(value: unknown): value is TensorArray {
  return (
    typeof value === 'object' && value !== null && 'data' in value && 'shape' in value && 'stride' in value
  );
}

function checkShape(parameter: string, spec: NativeSpec, shape: readonly number[]): void {
  const fits =
    shape.length === spec.shape.length &&
    shape.every((extent, axis) => spec.shape[axis] < 0 || spec.shape[axis] === extent);
  if (fits) return;
  const expected = publicInfo(spec).shape.map((extent) => (extent === '' ? '?' : extent));
  throw new FsynError(
    'INVALID_ARGUMENT',
    `Expected shape [${expected.join(', ')}] for ${parameter} but received [${shape.join(', ')}].`,
  );
}
