import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const require = createRequire(import.meta.url);

/**
 * Systems with a published package of their own, `@fsyn/NAME`, which holds the built addon and, where there
 * is one, ONNX Runtime's library. npm installs the one that fits, as an optional dependency.
 */
export const platforms = [
  'linux-x64',
  'linux-arm64',
  'linuxmusl-x64',
  'linuxmusl-arm64',
  'darwin-arm64',
  'win32-x64',
] as const;

/** The package for this machine, whether or not one is published: `@fsyn/linux-x64`. */
export function platformPackage(): string {
  return `@fsyn/${process.platform}${isMusl() ? 'musl' : ''}-${process.arch}`;
}

/** Whether a package for this machine is published. */
export function hasPlatformPackage(): boolean {
  const name = platformPackage();
  return platforms.some((platform) => name === `@fsyn/${platform}`);
}

/** What is known of the installed package for this machine. */
export interface InstalledPlatform {
  readonly folder: string;
  readonly version: string;
  /** ONNX Runtime's version and its library's name in the folder; missing where there is no library. */
  readonly onnxruntime?: { readonly version: string; readonly library: string };
}

/** The installed package for this machine; throws Node's MODULE_NOT_FOUND where there is none. */
export function installedPlatform(): InstalledPlatform {
  const file = require.resolve(`${platformPackage()}/package.json`);
  const { version, onnxruntime } = JSON.parse(readFileSync(file, 'utf8')) as Omit<
    InstalledPlatform,
    'folder'
  >;
  return { folder: dirname(file), version, onnxruntime };
}

/** Linux without glibc: Alpine and its like. */
function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  const { header } = process.report.getReport() as unknown as {
    header: { glibcVersionRuntime?: string };
  };
  return header.glibcVersionRuntime === undefined;
}
