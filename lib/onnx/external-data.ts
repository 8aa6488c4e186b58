import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FsynError } from '../errors.js';
import { type GraphProto, parseModel, type TensorProto } from './protobuf.js';
import { externalEntry, isExternal } from './tensors.js';

/** A file that holds tensors of a model. */
export interface ExternalFile {
  /** As the graph names it, relative to the model's folder. */
  readonly location: string;
  readonly path: string;
}

/**
 * The files that a model's tensors are in, by location in code-point order: of initializers, of constants and of the graphs
 * inside control flow. The files need not exist.
 *
 * @throws FsynError MODEL_FILE when the model cannot be read
 */
export async function externalFiles(model: string): Promise<ExternalFile[]> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(model);
  } catch (cause) {
    throw new FsynError('MODEL_FILE', `Cannot read ${JSON.stringify(model)}.`, { cause });
  }
  const locations = new Set<string>();
  const { graph } = parseModel(bytes);
  for (const tensor of graph ? tensorsOf(graph) : []) {
    const location = isExternal(tensor) ? externalEntry(tensor, 'location') : undefined;
    if (location) locations.add(location);
  }
  return [...locations].sort().map((location) => ({ location, path: join(dirname(model), location) }));
}

function* tensorsOf(graph: GraphProto): Generator<TensorProto> {
  yield* graph.initializer;
  for (const { attribute } of graph.node) {
    for (const { t, tensors, g, graphs } of attribute) {
      if (t) yield t;
      yield* tensors;
      for (const inner of g ? [g, ...graphs] : graphs) yield* tensorsOf(inner);
    }
  }
}
