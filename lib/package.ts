import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
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

/** Rooms that decide no number of a result row: they ask for rows, carry them, or read them. */
const readers = ['cli', 'queue', 'report', 'speedup'];
const sources = /\.(js|ts|cpp|h|hpp|inc|cu|cuh)$/;

let code: string | undefined;

/**
 * Which code decides the numbers of this process: `hashCode` of the modules beside this file and of the
 * package's native sources.
 */
export function codeVersion(): string {
  code ??= hashCode(dirname(fileURLToPath(import.meta.url)), packageInfo().root);
  return code;
}

/**
 * First 12 hex digits of the SHA-256 of all code that decides a number of a result row, by path, line ends
 * aside. The same for a checkout and for the package that was made of it, on every machine; another one for
 * sources that run without being compiled.
 *
 * @param modules folder of the compiled modules
 * @param root folder of the native sources
 */
export function hashCode(modules: string, root: string): string {
  const hash = createHash('sha256');
  const folders = { lib: modules, native: join(root, 'native'), bindings: join(root, 'bindings') };
  for (const [name, folder] of Object.entries(folders)) {
    for (const file of filesIn(folder)) {
      const path = relative(folder, file).split(sep).join('/');
      if (name === 'lib' && readers.includes(path.split('/')[0])) continue;
      hash.update(`${name}/${path}\n${readFileSync(file, 'utf8').replaceAll('\r\n', '\n')}\n`);
    }
  }
  return hash.digest('hex').slice(0, 12);
}

/** Files of code below a folder in code-point order; none where the folder is not there. */
function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesIn(path);
      return sources.test(entry.name) && !entry.name.endsWith('.d.ts') ? [path] : [];
    })
    .sort();
}
