import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where fsyn is installed and which version it is. */
export interface PackageInfo {
  readonly root: string;
  readonly version: string;
}

let found: PackageInfo | undefined;

/** Finds our package.json above this file; works from the sources and from dist. */
export function packageInfo(): PackageInfo {
  if (found) return found;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json');
    if (existsSync(path)) {
      const parsed = JSON.parse(readFileSync(path, 'utf8')) as { name?: string; version?: string };
      if (parsed.name === 'fsyn') {
        found = { root: folder, version: parsed.version ?? '0.0.0' };
        return found;
      }
    }
    if (folder === dirname(folder)) throw new Error('fsyn: package.json not found above this file');
  }
}
