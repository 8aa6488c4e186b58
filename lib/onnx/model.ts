import { open, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FsynError, invalidArgument } from '../errors.js';
import { OnnxGraph } from './graph.js';
import {
  createMessage,
  type ModelProto,
  type NodeProto,
  parseModel,
  serializeModel,
  type TensorProto,
} from './protobuf.js';
import { externalEntry, isExternal } from './tensors.js';

/** Constants up to this many bytes stay inside an edited graph: axes, shapes, scalars and norm weights of small models. */
const INLINE_BYTES = 16384;

/**
 * An ONNX model whose weights stay where they are.
 *
 * Loading a file turns every larger initializer into a reference to its byte range in that file, so that edited graphs are small
 * and share the weights with the original. Such a graph can be run from memory with `folder` as the external-data folder.
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
   * @throws FsynError `MODEL_FILE` when the file or one of its external data files cannot be read or is too short
   */
  static async load(path: string): Promise<OnnxModel> {
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      throw new FsynError('MODEL_FILE', `Cannot read the model file ${path}.`, { cause });
    }
    const proto = parsed(bytes, path);
    const folder = dirname(resolve(path));
    for (const item of proto.graph?.initializer ?? []) referToFile(item, bytes, basename(path));
    await checkExternalData(proto.graph?.initializer ?? [], folder, path);
    return new OnnxModel(proto, folder, path);
  }

  /** Parses a model from memory; `folder` is where its external data files are, if it has any. */
  static fromBytes(bytes: Uint8Array, options: { readonly folder?: string } = {}): OnnxModel {
    return new OnnxModel(parseModel(bytes), options.folder, '<memory>');
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

  /** A copy reduced to some of its nodes, which must be in order, and to what they need for the given outputs. */
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
    const offset = Number(externalEntry(item, 'offset') ?? 0);
    const path = join(this.folder ?? '.', externalEntry(item, 'location') ?? '');
    const file = await open(path);
    try {
      const length = Number(externalEntry(item, 'length') ?? (await file.stat()).size - offset);
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
    return parseModel(bytes);
  } catch (error) {
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

async function checkExternalData(
  items: readonly TensorProto[],
  folder: string,
  source: string,
): Promise<void> {
  const sizes = new Map<string, number>();
  for (const item of items) {
    if (!isExternal(item)) continue;
    const location = externalEntry(item, 'location');
    if (!location)
      throw new FsynError('MODEL_FILE', `${source}: external tensor ${item.name} names no file.`);
    if (!sizes.has(location)) {
      try {
        sizes.set(location, (await stat(join(folder, location))).size);
      } catch (cause) {
        const message = `${source}: external data file ${location} (tensor ${item.name}) is missing from ${folder}.`;
        throw new FsynError('MODEL_FILE', message, { cause });
      }
    }
    const end = Number(externalEntry(item, 'offset') ?? 0) + Number(externalEntry(item, 'length') ?? 0);
    const size = sizes.get(location) as number;
    if (end > size) {
      const message = `${source}: external data file ${location} has ${size} bytes, tensor ${item.name} ends at ${end}.`;
      throw new FsynError('MODEL_FILE', message);
    }
  }
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
