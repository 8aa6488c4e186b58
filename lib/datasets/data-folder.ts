import { realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { FsynError } from '../errors.js';
import { decodeImage } from '../vlm/images/decode.js';
import type { RgbImage } from '../vlm/types.js';

/**
 * Pictures that a data file names. A report embeds them and is passed on, so a stranger's file must not
 * choose pictures from all of the disk: they lie in the data's folder, links followed, unless the person says
 * otherwise.
 */
export class DataFolder {
  readonly #path: string;
  readonly #allowOutside: boolean;

  constructor(path: string, allowOutside: boolean) {
    this.#path = resolve(path);
    this.#allowOutside = allowOutside;
  }

  /** Refuses a name that leads out of the folder; nothing is read. */
  check(name: string, where: string): void {
    if (!this.#allowOutside && !isInside(this.#path, resolve(this.#path, name)))
      throw this.#outside(name, where);
  }

  /** Reads a picture. @throws FsynError DATASET where a link leads out of the folder, IMAGE */
  async image(name: string, where: string): Promise<RgbImage> {
    const file = resolve(this.#path, name);
    if (!this.#allowOutside && !(await staysInside(this.#path, file))) throw this.#outside(name, where);
    return decodeImage(file);
  }

  #outside(name: string, where: string): FsynError {
    return new FsynError(
      'DATASET',
      `${where}: the picture ${JSON.stringify(name)} lies outside the data folder ${JSON.stringify(this.#path)}; ` +
        'reports show pictures, so it is read only with allowOutside (--allow-outside).',
    );
  }
}

function isInside(folder: string, file: string): boolean {
  const way = relative(folder, file);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** A file that is missing is inside: what reads it says that it is missing. */
async function staysInside(folder: string, file: string): Promise<boolean> {
  const [root, target] = await Promise.all(
    [realpath(folder), realpath(file)].map((path) => path.catch(() => undefined)),
  );
  return root === undefined || target === undefined || isInside(root, target);
}
