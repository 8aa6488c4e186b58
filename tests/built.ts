import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageInfo } from '../lib/package.js';

/** A test executable or library of the CMake build; null when it was not built. */
export function built(name: string): string | null {
  const names = process.platform === 'win32' ? [name, `${name}.exe`] : [name];
  const folders = ['build/Release', 'build', 'build/Debug'].map((folder) => join(packageInfo().root, folder));
  const paths = folders.flatMap((folder) => names.map((file) => join(folder, file)));
  return paths.find((path) => existsSync(path)) ?? null;
}
