import { open, realpath, stat } from 'node:fs/promises';
import { relative } from 'node:path';
import { describe, FsynError, invalidArgument } from '../errors.js';
import { refuseLfsPointer } from '../text-file.js';
import { commonFolder, ModelFolders, readModelFile, tensorsOf } from './external-data.js';
import { OnnxGraph } from './graph.js';
import {
  createMessage,
  type ModelProto,
  type NodeProto,
  parseModel,
  serializeModel,
  type TensorProto,
} from './protobuf.js';
import { checkSound } from './sound.js';
import { externalEntry, isExternal } from './tensors.js';

/**
 * Constants up to this many bytes stay inside an edited graph: axes, shapes, scalars and norm weights of
 * small models.
 */
const INLINE_BYTES = 16384;

/**
 * An ONNX model whose weights stay where they are.
 *
 * Loading a file turns every larger initializer into a reference to its byte range in that file, so that
 * edited graphs are small and share the weights with the original. Such a graph can be run from memory with
 * `folder` as the external-data folder.
 */
export class OnnxModel {
  readonly proto: ModelProto;
  readonly graph: OnnxGraph;
  /** Folder that external data locations are relative to. */
  readonly folder: string | undefined;
  /** What messages call the model: its path, or `<memory>`. */
  readonly source: string;

  private constructor(proto: ModelProto, folder: string | undefined, source: string) {
    this.proto = proto;
    this.graph = new OnnxGraph(proto.graph as NonNullable<ModelProto['graph']>);
    this.folder = folder;
    this.source = source;
  }

  /**
   * Reads a model file; weights are referenced, not kept in memory.
   *
   * @throws FsynError `MODEL_FILE` when the file or one of its external data files cannot be read or is too
   *   short
   */
  static async load(path: string): Promise<OnnxModel> {
    const bytes = await readModelFile(path);
    const proto = parsed(bytes, path);
    const file = await realpath(path);
    const external = await externalDataOf(proto, path);
    // The runtime reads weights below one folder only, and follows links before it looks.
    const folder = commonFolder([file, ...external.values()]);
    for (const item of tensorsIn(proto)) {
      const found = external.get(item);
      if (found !== undefined) relocate(item, relative(folder, found));
    }
    const location = relative(folder, file);
    for (const item of proto.graph?.initializer ?? []) referToFile(item, bytes, location);
    return new OnnxModel(proto, folder, path);
  }

  /** Parses a model from memory; `folder` is where its external data files are, if it has any. */
  static fromBytes(bytes: Uint8Array, options: { readonly folder?: string } = {}): OnnxModel {
    return new OnnxModel(parsed(bytes, '<memory>'), options.folder, '<memory>');
  }

  /** A copy whose nodes, inputs and outputs can be edited; constant tensors are shared. */
  clone(): OnnxModel {
    const graph = this.graph.proto;
    const copy = copyMessage('ModelProto', this.proto);
    copy.opsetImport = this.proto.opsetImport.map((entry) => copyMessage('OperatorSetIdProto', entry));
    copy.graph = copyMessage('GraphProto', graph);
    copy.graph.node = graph.node.map(cloneNode);
    copy.graph.initializer = [...graph.initializer];
    copy.graph.input = [...graph.input];
    copy.graph.output = graph.output.map((value) => copyMessage('ValueInfoProto', value));
    copy.graph.valueInfo = [];
    return new OnnxModel(copy, this.folder, this.source);
  }

  /**
   * A copy reduced to some of its nodes, which must be in order, and to what they need for the given outputs.
   */
  withNodes(nodes: readonly NodeProto[], outputs: readonly string[]): OnnxModel {
    const graph = this.graph.proto;
    const copy = copyMessage('ModelProto', this.proto);
    copy.opsetImport = this.proto.opsetImport.map((entry) => copyMessage('OperatorSetIdProto', entry));
    copy.graph = copyMessage('GraphProto', graph);
    copy.graph.node = nodes.map(cloneNode);
    copy.graph.initializer = [...graph.initializer];
    copy.graph.input = [...graph.input];
    copy.graph.output = outputs.map((name) => createMessage('ValueInfoProto', { name }));
    copy.graph.valueInfo = [];
    const model = new OnnxModel(copy, this.folder, this.source);
    model.graph.prune();
    return model;
  }

  serialize(): Uint8Array {
    return serializeModel(this.proto);
  }

  /** Version of an operator set that the model imports; 0 when it does not. */
  opset(domain = ''): number {
    const found = this.proto.opsetImport.find(
      (entry) => (entry.domain === 'ai.onnx' ? '' : entry.domain) === domain,
    );
    return found ? Number(found.version) : 0;
  }

  /** Imports an operator set with at least the given version. */
  requireOpset(domain: string, version: number): void {
    const found = this.proto.opsetImport.find(
      (entry) => (entry.domain === 'ai.onnx' ? '' : entry.domain) === domain,
    );
    if (!found) {
      this.proto.opsetImport.push(createMessage('OperatorSetIdProto', { domain, version: BigInt(version) }));
    } else if (Number(found.version) < version) found.version = BigInt(version);
  }

  /** Bytes of a constant tensor, read from its file when it is external. */
  async readInitializer(name: string): Promise<Uint8Array> {
    const item = this.graph.initializers.get(name);
    if (!item) throw invalidArgument('name', `an initializer of ${this.source}`, name);
    if (!isExternal(item)) return item.rawData;
    const folders = await ModelFolders.inFolder(this.folder ?? '.', this.source);
    const { path, offset, length } = await rangeOf(item, folders, this.source);
    const file = await open(path);
    try {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw new FsynError('MODEL_FILE', `${path} ends before the data of ${name}.`);
        done += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  }
}

function parsed(bytes: Uint8Array, path: string): ModelProto {
  try {
    const proto = parseModel(bytes);
    if (proto.graph) checkSound(proto.graph, path);
    return proto;
  } catch (error) {
    // The graph's own check has named the file.
    if (error instanceof FsynError && error.message.startsWith(path)) throw error;
    if (!(error instanceof FsynError)) throw error;
    throw new FsynError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** Marks a larger inline tensor external: its bytes are this range of the file that it was parsed from. */
function referToFile(item: TensorProto, file: Uint8Array, location: string): void {
  if (isExternal(item) || item.rawData.length <= INLINE_BYTES) {
    // A view would keep the whole file in memory.
    if (item.rawData.length > 0) item.rawData = new Uint8Array(item.rawData);
    return;
  }
  const offset = item.rawData.byteOffset - file.byteOffset;
  item.externalData = externalRange(location, offset, item.rawData.length);
  item.rawData = new Uint8Array(0);
  // An empty raw_data field beside external data is refused by some readers.
  delete (item as Partial<TensorProto>).rawData;
  item.dataLocation = 1;
}

/** `external_data` entries of a byte range. */
export function externalRange(location: string, offset: number, length: number): TensorProto['externalData'] {
  return Object.entries({ location, offset: String(offset), length: String(length) }).map(([key, value]) =>
    createMessage('StringStringEntryProto', { key, value }),
  );
}

function tensorsIn(proto: ModelProto): TensorProto[] {
  return proto.graph === undefined ? [] : [...tensorsOf(proto.graph)];
}

/** The file of every external tensor, checked to be the model's own and to hold the tensor's bytes. */
async function externalDataOf(proto: ModelProto, source: string): Promise<Map<TensorProto, string>> {
  const found = new Map<TensorProto, string>();
  const folders = await ModelFolders.of(source);
  for (const item of tensorsIn(proto)) {
    if (isExternal(item)) found.set(item, (await rangeOf(item, folders, source)).path);
  }
  return found;
}

/** Where the bytes of an external tensor are. @throws FsynError MODEL_FILE */
async function rangeOf(
  item: TensorProto,
  folders: ModelFolders,
  source: string,
): Promise<{ path: string; offset: number; length: number }> {
  const named = `${source}: external tensor ${item.name}`;
  const location = externalEntry(item, 'location');
  if (!location) throw new FsynError('MODEL_FILE', `${named} names no file.`);
  const path = await folders.find(location);
  if (path === undefined) {
    const message = `${source}: external data file ${location} (tensor ${item.name}) is missing from ${folders.named}.`;
    throw new FsynError('MODEL_FILE', message);
  }
  const { size } = await stat(path);
  const number = (key: string): number | undefined => {
    const value = externalEntry(item, key);
    if (value === undefined || value === '') return undefined;
    if (/^\d{1,16}$/.test(value)) return Number(value);
    throw new FsynError(
      'MODEL_FILE',
      `${named} has the ${key} ${describe(value)}, which is no number of bytes.`,
    );
  };
  const offset = number('offset') ?? 0;
  // The runtime takes a length of 0 for none.
  const length = number('length') || size - offset;
  if (length < 0 || offset + length > size) {
    await refuseLfsPointer(path, { code: 'MODEL_FILE', what: `${source}: the external data file` });
    const message = `${source}: external data file ${location} has ${size} bytes, tensor ${item.name} ends at ${offset + Math.max(length, 0)}.`;
    throw new FsynError('MODEL_FILE', message);
  }
  return { path, offset, length };
}

/** Writes where a tensor's bytes are, seen from another folder. */
function relocate(item: TensorProto, location: string): void {
  if (externalEntry(item, 'location') === location) return;
  item.externalData = item.externalData.map((entry) =>
    entry.key === 'location'
      ? createMessage('StringStringEntryProto', { key: 'location', value: location })
      : entry,
  );
}

/** Copies a message one level deep, unknown fields included. */
function copyMessage<T extends object>(kind: Parameters<typeof createMessage>[0], message: T): T {
  return Object.assign(createMessage(kind) as object, message) as T;
}

/** A copy of a node whose inputs, outputs and attribute list can be edited. */
export function cloneNode(node: NodeProto): NodeProto {
  const copy = copyMessage('NodeProto', node);
  copy.input = [...node.input];
  copy.output = [...node.output];
  copy.attribute = [...node.attribute];
  return copy;
}
