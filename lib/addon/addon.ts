import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { FsynError, reasonOf } from '../errors.js';
import { packageInfo } from '../package.js';
import { hasPlatformPackage, installedPlatform, platformPackage } from './platform.js';

const require = createRequire(import.meta.url);

/** A typed array that can cross into native memory. */
export type TensorData =
  | Float32Array
  | Float64Array
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/** A native object behind an opaque external value. */
export interface NativeHandle {
  readonly native: unique symbol;
}

/**
 * The functions of the native addon that every room may use; the others are declared where they are used, by
 * merging.
 */
export interface NativeAddon {
  initialise(errorClass: typeof FsynError): void;
  leave(exitCode: number): void;
  errorCodes(): readonly string[];
  cpuFeatures(): { avx2: boolean; avx512: boolean; neon: boolean };
}

let loaded: NativeAddon | undefined;

/**
 * The native addon, loaded on first use: a local build (in the folder `build`, or the one that the
 * environment variable FSYN_BUILD names), else the one in the installed package for this machine.
 *
 * @throws FsynError ADDON_NOT_FOUND with every place that was tried and what to do
 */
export function addon(): NativeAddon {
  loaded ??= load();
  return loaded;
}

function load(): NativeAddon {
  const { root, version } = packageInfo();
  const reasons: string[] = [];
  const build = resolve(root, process.env.FSYN_BUILD ?? 'build');
  for (const candidate of [() => join(build, 'Release', 'fsyn.node'), () => prebuilt(version)]) {
    let file = '';
    try {
      file = candidate();
      const native = require(file) as NativeAddon;
      native.initialise(FsynError);
      // A worker's jobs are stopped when its environment goes down; nothing tells the addon that the process
      // ends.
      if (isMainThread) process.once('exit', (code) => native.leave(code));
      return native;
    } catch (error) {
      const [reason] = reasonOf(error).split('\n');
      reasons.push(`  ${file || platformPackage()}: ${reason}`);
    }
  }
  throw new FsynError(
    'ADDON_NOT_FOUND',
    [
      `The native addon of fsyn cannot be loaded on ${process.platform}-${process.arch}, Node ${process.version}:`,
      ...reasons,
      ...remedies(root, version),
    ].join('\n'),
  );
}

function prebuilt(version: string): string {
  const installed = installedPlatform();
  if (installed.version !== version)
    throw new Error(`version ${installed.version}, while fsyn is ${version}: install both anew`);
  return join(installed.folder, 'fsyn.node');
}

/**
 * What can be done, the easiest first; each was tried as it stands (tests/package/try.mjs; build-addon by
 * hand).
 */
function remedies(root: string, version: string): string[] {
  const build = '(needs CMake >= 3.24 and a C++20 compiler).';
  if (existsSync(join(root, 'tsconfig.json'))) return [`Build it: \`npm run build:native\` ${build}`];
  const here = hasPlatformPackage()
    ? [`Install it: \`npm install ${platformPackage()}@${version}\` (left out by --omit=optional).`]
    : [];
  return [...here, `${here.length > 0 ? 'Or build' : 'Build'} it: \`npx fsyn build-addon\` ${build}`];
}
