import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { packageInfo } from '../lib/package.js';

/** A test executable or library of the CMake build; null when it was not built. */
export function built(name: string): string | null {
  const names = process.platform === 'win32' ? [name, `${name}.exe`] : [name];
  const build = resolve(packageInfo().root, process.env.FSYN_BUILD ?? 'build');
  const folders = ['Release', '.', 'Debug'].map((folder) => join(build, folder));
  const paths = folders.flatMap((folder) => names.map((file) => join(folder, file)));
  return paths.find((path) => existsSync(path)) ?? null;
}
