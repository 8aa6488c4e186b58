import { realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, relative, resolve, sep } from 'node:path';
import { FsynError } from '../errors.js';
import { readRegularFile } from '../text-file.js';
import { type GraphProto, parseModel, type TensorProto } from './protobuf.js';
import { externalEntry, isExternal } from './tensors.js';

/** A file that holds tensors of a model. */
export interface ExternalFile {
  /** As the graph names it, relative to the model's folder. */
  readonly location: string;
  readonly path: string;
}

/**
 * The files that a model's tensors are in, by location in code-point order: of initializers, of constants and
 * of the graphs inside control flow. The files need not exist.
 *
 * @throws FsynError MODEL_FILE when the model cannot be read, or names a file that is not its own
 */
export async function externalFiles(model: string): Promise<ExternalFile[]> {
  const { graph } = parseModel(await readModelFile(model));
  const folders = await ModelFolders.of(model);
  const locations = new Set<string>();
  for (const tensor of graph ? tensorsOf(graph) : [])
    if (isExternal(tensor)) locations.add(externalEntry(tensor, 'location') ?? '');
  return Promise.all(
    [...locations].sort().map(async (location) => ({
      location,
      path: (await folders.find(location)) ?? join(folders.named, location),
    })),
  );
}

/** The bytes of a model file. @throws FsynError MODEL_FILE */
export function readModelFile(path: string): Promise<Uint8Array> {
  return readRegularFile(path, { code: 'MODEL_FILE', what: 'the model file' });
}

export function* tensorsOf(graph: GraphProto): Generator<TensorProto> {
  yield* graph.initializer;
  for (const { attribute } of graph.node) {
    for (const { t, tensors, g, graphs } of attribute) {
      if (t) yield t;
      yield* tensors;
      for (const inner of g ? [g, ...graphs] : graphs) yield* tensorsOf(inner);
    }
  }
}

/**
 * Where the external data of a model may lie: in the folder that the model is found in, or in the one that
 * its link leads to. The second is the layout of the Hugging Face cache, where every file of a model is a
 * link into one folder of blobs. A graph that names anything else would have a stranger's file decide what is
 * read from the disk.
 */
export class ModelFolders {
  /** The folder that the model is found in, links not followed. */
  readonly named: string;
  readonly #roots: readonly string[];
  readonly #source: string;

  private constructor(named: string, roots: readonly string[], source: string) {
    this.named = named;
    this.#roots = roots;
    this.#source = source;
  }

  /** Of a model file. */
  static async of(model: string): Promise<ModelFolders> {
    const named = dirname(resolve(model));
    const roots = [await followed(named), dirname(await followed(resolve(model)))];
    return new ModelFolders(named, roots, model);
  }

  /** Of a model in memory, whose weights are in this folder. */
  static async inFolder(folder: string, source: string): Promise<ModelFolders> {
    return new ModelFolders(folder, [await followed(folder)], source);
  }

  /**
   * The file behind a location, all links followed; undefined when there is none.
   *
   * @throws FsynError MODEL_FILE for a location that is no relative path, leads out of the model's folders,
   *   or is no file
   */
  async find(location: string): Promise<string | undefined> {
    const way = normalize(location);
    if (location === '' || location.includes('\0') || isAbsolute(location) || leavesFolder(way))
      throw this.#refused(location, 'leads out of it');
    const path = await realpath(join(this.named, way)).catch(() => undefined);
    if (path === undefined) return undefined;
    if (!this.#roots.some((root) => !leavesFolder(relative(root, path))))
      throw this.#refused(location, `is a link out of it, to ${path}`);
    if (!(await stat(path)).isFile()) throw this.#refused(location, 'is not a file');
    return path;
  }

  #refused(location: string, reason: string): FsynError {
    return new FsynError(
      'MODEL_FILE',
      `${this.#source}: expected external data in the model's folder, but ${JSON.stringify(location)} ${reason}.`,
    );
  }
}

/** The deepest folder that all of these files are in. */
export function commonFolder(files: readonly string[]): string {
  return files
    .map((file) => dirname(file))
    .reduce((common, folder) => {
      let kept = common;
      while (leavesFolder(relative(kept, folder))) kept = dirname(kept);
      return kept;
    });
}

function leavesFolder(way: string): boolean {
  return way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way);
}

function followed(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}
