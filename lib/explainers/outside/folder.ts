import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Attribution } from '../../cells/attribution.js';
import { FsynError } from '../../errors.js';
import type { PreparedSample } from '../../vlm/types.js';
import { type ImageOrder, readAttribution } from '../imported.js';
import type { Explainer, SampleIdentity } from '../types.js';
import { fileNameOf, playersHash } from './record.js';

/** How many missing samples a message names. */
const namedAtMost = 10;

/** Names become file names, table rows and keys. */
const namePattern = /^[a-z0-9][a-z0-9._-]*$/u;

/** The files that hold a sample's scores: one JSON file, or a pair of .npy files. */
type Files = { readonly json: string } | { readonly image: string; readonly text: string };

export interface ImportFolderOptions {
  readonly imageOrder?: ImageOrder;
  /** The players that scores must have been made for; undefined where only the files say, if they do. */
  readonly hashOf?: (identity: SampleIdentity) => string | undefined;
}

/** Whether a name of `--explainers` is an import: `import:NAME=FOLDER`. */
export function isImport(name: string): boolean {
  return name.startsWith('import:');
}

/**
 * An explainer whose scores were computed elsewhere, one file (or pair) for each sample in a folder:
 * `<id>.json` with `{"image": ..., "text": [...]}` and, if it is to be checked, the players' `"hash"`; or
 * `<id>.image.npy` and `<id>.text.npy`. Where several datasets hold one id, `<dataset>/<id>.json` and
 * `<dataset>%2F<id>.json` come first.
 *
 * @param specification `import:NAME=FOLDER`
 * @throws FsynError EXPLAINER for a specification that is none, or a folder that is not there
 */
export async function importFolder(
  specification: string,
  options: ImportFolderOptions = {},
): Promise<Explainer> {
  const [, name = '', folder = ''] = /^import:([^=]*)=(.*)$/su.exec(specification) ?? [];
  if (!namePattern.test(name) || folder === '') {
    throw new FsynError(
      'EXPLAINER',
      `Expected import:NAME=FOLDER, NAME of lower-case letters, digits, dots, dashes and underscores, but received ${JSON.stringify(specification)}.`,
    );
  }
  if (!(await isKind(folder, 'isDirectory'))) {
    throw new FsynError('EXPLAINER', `${specification}: there is no folder ${JSON.stringify(folder)}.`);
  }
  return new FolderExplainer(name, folder, options);
}

class FolderExplainer implements Explainer {
  readonly name: string;
  readonly title: string;
  readonly reference = 'imported';
  readonly needsTruth = false;
  readonly #folder: string;
  readonly #options: ImportFolderOptions;
  readonly #fingerprints = new Map<string, string>();

  constructor(name: string, folder: string, options: ImportFolderOptions) {
    this.name = name;
    this.title = name;
    this.#folder = folder;
    this.#options = options;
  }

  async require(samples: readonly SampleIdentity[]): Promise<void> {
    const missing: SampleIdentity[] = [];
    for (const identity of samples) {
      const files = await this.#find(identity);
      if (files === undefined) missing.push(identity);
      else this.#fingerprints.set(keyOf(identity), await hashFiles(identity, files));
    }
    if (missing.length === 0) return;
    const named = missing.slice(0, namedAtMost).map(({ sample }) => fileNameOf(sample));
    const more = missing.length > namedAtMost ? ` and ${missing.length - namedAtMost} more` : '';
    throw new FsynError(
      'ATTRIBUTION',
      `${this.#folder} has no scores of ${missing.length} of ${samples.length} samples: ${named.join(', ')}${more}. ` +
        'Expected NAME.json, or NAME.image.npy and NAME.text.npy, for each.',
    );
  }

  fingerprintOf(identity: SampleIdentity): string | undefined {
    return this.#fingerprints.get(keyOf(identity));
  }

  async attribute(context: Parameters<Explainer['attribute']>[0]): Promise<Attribution> {
    const { sample, identity, signal } = context;
    signal?.throwIfAborted();
    if (identity === undefined) {
      throw new FsynError('ATTRIBUTION', `${this.name} is found by a sample's id, and this sample has none.`);
    }
    const files = await this.#find(identity);
    if (files === undefined) {
      throw new FsynError('ATTRIBUTION', `${this.#folder} has no scores of ${fileNameOf(identity.sample)}.`);
    }
    const { imageOrder, hashOf } = this.#options;
    requireHash(hashOf?.(identity), sample, `The players of ${fileNameOf(identity.sample)}`);
    if ('json' in files) requireHash(await readHash(files.json), sample, files.json);
    return readAttribution(sample, 'json' in files ? files.json : files, { imageOrder });
  }

  async #find({ dataset, sample }: SampleIdentity): Promise<Files | undefined> {
    const bases = [
      join(this.#folder, fileNameOf(dataset), fileNameOf(sample)),
      join(this.#folder, fileNameOf(`${dataset}/${sample}`)),
      join(this.#folder, fileNameOf(sample)),
      // As other programs encode it.
      join(this.#folder, fileNameOf(sample).replace(/^%2E/u, '.')),
    ];
    for (const base of bases) {
      const json = `${base}.json`;
      if (await isKind(json, 'isFile')) return { json };
      const [image, text] = ['image', 'text'].map((part) => `${base}.${part}.npy`);
      if ((await isKind(image, 'isFile')) && (await isKind(text, 'isFile'))) return { image, text };
    }
    return undefined;
  }
}

/** The hash of the players that a file of scores says it was made for. */
async function readHash(path: string): Promise<unknown> {
  try {
    return (JSON.parse(await readFile(path, 'utf8')) as { hash?: unknown } | null)?.hash;
  } catch {
    return undefined; // What is not JSON is refused where it is read, with the reason.
  }
}

/** What was made for other players says nothing about these. */
function requireHash(hash: unknown, sample: PreparedSample, what: string): void {
  const wanted = playersHash(sample);
  if (hash === undefined || hash === wanted) return;
  throw new FsynError(
    'ATTRIBUTION',
    `${what} were made for other players: another picture, prompt, answer or grid. Expected hash ${wanted} but found ${String(hash)}.`,
  );
}

/** Of the sample, too, so that a change is noticed where all files hold the same. */
async function hashFiles(identity: SampleIdentity, files: Files): Promise<string> {
  const hash = createHash('sha256').update(keyOf(identity));
  for (const path of Object.values(files)) hash.update(await readFile(path)).update('\0');
  return hash.digest('hex');
}

const keyOf = ({ dataset, sample }: SampleIdentity) => JSON.stringify([dataset, sample]);

async function isKind(path: string, kind: 'isFile' | 'isDirectory'): Promise<boolean> {
  return stat(path).then(
    (found) => found[kind](),
    () => false,
  );
}
