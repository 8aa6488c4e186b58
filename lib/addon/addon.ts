import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { FsynError, reasonOf } from '../errors.js';
import { packageInfo } from '../package.js';

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
  cpuFeatures(): { avx2: boolean; avx512: boolean };
}

let loaded: NativeAddon | undefined;

/**
 * The native addon, loaded on first use: a local build (in the folder `build`, or the one that the
 * environment variable FSYN_BUILD names), else a prebuilt binary.
 *
 * @throws FsynError ADDON_NOT_FOUND with every place that was tried and what to do
 */
export function addon(): NativeAddon {
  loaded ??= load();
  return loaded;
}

function load(): NativeAddon {
  const { root } = packageInfo();
  const reasons: string[] = [];
  const build = resolve(root, process.env.FSYN_BUILD ?? 'build');
  for (const candidate of [() => join(build, 'Release', 'fsyn.node'), () => prebuilt(root)]) {
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
      reasons.push(`  ${file || 'prebuilt binary'}: ${reason}`);
    }
  }
  throw new FsynError(
    'ADDON_NOT_FOUND',
    [
      `The native addon of fsyn cannot be loaded on ${process.platform}-${process.arch}, Node ${process.version}:`,
      ...reasons,
      'Build it with `npm run build:native` in the fsyn folder (needs CMake >= 3.24 and a C++20 compiler),',
      'or with `npx node-gyp rebuild` where CMake is missing.',
    ].join('\n'),
  );
}

function prebuilt(root: string): string {
  // node-gyp-build would also find build/Release, which has been tried; only its prebuilds are wanted here.
  const gyp = require('node-gyp-build') as { resolve(folder: string): string };
  return gyp.resolve(root);
}
