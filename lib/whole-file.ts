import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { FsynError, reasonOf } from './errors.js';

/**
 * Writes a text file so that a kill at any moment leaves the old one or the new one, never half of it. Its
 * folder is made where it is missing.
 *
 * @throws FsynError RESULTS naming the path
 */
export function writeWhole(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}.new`;
    writeFileSync(temporary, text);
    renameSync(temporary, path);
  } catch (cause) {
    throw new FsynError('RESULTS', `Cannot write ${path}: ${reasonOf(cause)}`, { cause });
  }
}
