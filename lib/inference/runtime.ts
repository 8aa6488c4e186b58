import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { addon } from '../addon/addon.js';
import { installedPlatform } from '../addon/platform.js';
import { FsynError } from '../errors.js';
import type { NativeRuntime } from './native.js';

const require = createRequire(import.meta.url);

const LIBRARY_NAMES: Readonly<Record<string, readonly string[]>> = {
  linux: ['libonnxruntime.so.1'],
  darwin: ['libonnxruntime.dylib', 'libonnxruntime.1.dylib'],
  win32: ['onnxruntime.dll'],
};

let loaded: NativeRuntime | undefined;

/**
 * The ONNX Runtime library, loaded once per process.
 *
 * @throws FsynError RUNTIME_NOT_FOUND
 */
export function runtime(): NativeRuntime {
  if (loaded === undefined) {
    // First, because both are missing where the package for this machine is.
    const native = addon();
    const { path, version } = locate();
    loaded = native.loadRuntime(path, version);
  }
  return loaded;
}

/**
 * Where the library is: in onnxruntime-node, which a process may share with other packages and which brings
 * more providers, else in our package for this machine.
 */
function locate(): { path: string; version: string } {
  let entry: string | undefined;
  try {
    entry = require.resolve('onnxruntime-node');
  } catch {
    const shipped = shippedLibrary();
    if (shipped) return shipped;
    throw new FsynError(
      'RUNTIME_NOT_FOUND',
      'ONNX Runtime is not installed: `npm install onnxruntime-node`; on a machine without access to its CUDA ' +
        'files with ONNXRUNTIME_NODE_INSTALL=skip in the environment.',
    );
  }
  const manifest = findManifest(entry);
  const version = String(JSON.parse(readFileSync(manifest, 'utf8')).version);
  const folder = join(dirname(manifest), 'bin', 'napi-v6', process.platform, process.arch);
  const candidates = (LIBRARY_NAMES[process.platform] ?? []).map((name) => join(folder, name));
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new FsynError(
      'RUNTIME_NOT_FOUND',
      `onnxruntime-node ${version} has no library for ${process.platform}-${process.arch} (looked in ${folder}).`,
    );
  }
  return { path, version };
}

function shippedLibrary(): { path: string; version: string } | undefined {
  try {
    const { folder, onnxruntime } = installedPlatform();
    return onnxruntime && { path: join(folder, onnxruntime.library), version: onnxruntime.version };
  } catch {
    return undefined;
  }
}

function findManifest(entry: string): string {
  for (let folder = dirname(entry); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).name === 'onnxruntime-node') {
      return manifest;
    }
    if (folder === dirname(folder)) throw new Error(`no package.json above ${entry}`);
  }
}

/** Short names of the providers that ONNX Runtime spells in its own way. */
const PROVIDER_NAMES: Readonly<Record<string, string>> = {
  CPUExecutionProvider: 'cpu',
  CUDAExecutionProvider: 'cuda',
  WebGpuExecutionProvider: 'webgpu',
  CoreMLExecutionProvider: 'coreml',
  DmlExecutionProvider: 'dml',
  XnnpackExecutionProvider: 'xnnpack',
  OpenVINOExecutionProvider: 'openvino',
  QNNExecutionProvider: 'qnn',
};

export interface ProviderFact {
  readonly name: string;
  /** Whether a session can really be given this provider here, found by trying. */
  readonly available: boolean;
  /** Why not; empty when available. */
  readonly problem: string;
}

/** What this machine offers for running models; `fsyn doctor` prints it. */
export interface InferenceFacts {
  readonly runtimeVersion: string;
  readonly runtimePath: string;
  readonly runtimeBuild: string;
  readonly providers: readonly ProviderFact[];
  readonly processor: string;
  readonly threads: number;
  readonly features: { readonly avx2: boolean; readonly avx512: boolean; readonly neon: boolean };
  /** Bytes. */
  readonly memoryTotal: number;
  readonly memoryFree: number;
}

/** Loads the runtime and tries every provider that it was compiled with. */
export function inferenceFacts(): InferenceFacts {
  return { ...runtimeFacts(), providers: providerNames().map(tryProvider) };
}

/** What can be said without trying a provider. */
export function runtimeFacts(): Omit<InferenceFacts, 'providers'> {
  const { version, path, buildInfo } = runtime();
  return {
    runtimeVersion: version,
    runtimePath: path,
    runtimeBuild: buildInfo,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    threads: availableParallelism(),
    features: addon().cpuFeatures(),
    memoryTotal: totalmem(),
    memoryFree: freemem(),
  };
}

/** Short names of the providers that the runtime was compiled with. */
export function providerNames(): string[] {
  // Providers without a short name (TensorRT) are not offered by name, so trying them would say nothing.
  return runtime().compiledProviders.flatMap((compiled) => PROVIDER_NAMES[compiled] ?? []);
}

/** Tries a provider in this process, whose driver may print what it likes. */
export function tryProvider(name: string): ProviderFact {
  runtime();
  const problem = addon().providerProblem(name);
  return { name, available: problem === '', problem };
}

/** What to do about a provider that cannot be used. */
export function providerRemedy(name: string): string {
  switch (name) {
    case 'cuda':
      return 'CUDA needs an NVIDIA driver, CUDA 12 or 13 with cuDNN 9, and the provider files of onnxruntime-node: `ONNXRUNTIME_NODE_INSTALL=cuda12 npm install onnxruntime-node`.';
    case 'webgpu':
      return 'WebGPU needs a Vulkan driver (libvulkan1 on Debian), Metal or Direct3D 12.';
    default:
      return '`fsyn doctor` lists the providers that work on this machine.';
  }
}
