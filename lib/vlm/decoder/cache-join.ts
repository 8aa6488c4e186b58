import type { DeviceCaches } from '../../inference/program.js';
import { Session } from '../../inference/session.js';
import { makeNode, valueInfo } from '../../onnx/graph.js';
import { createMessage, serializeModel } from '../../onnx/protobuf.js';
import { dataTypeCode } from '../../onnx/tensors.js';
import type { DecoderGraph } from './graph.js';

/** Memories that ONNX Runtime can keep outputs in, by the provider that owns them. */
const memories: Readonly<Record<string, DeviceCaches['memory']>> = { cuda: 'Cuda', webgpu: 'WebGPU_Buffer' };

/**
 * What keeps a decoder's caches in the memory of its first provider, or undefined where that is the host's or
 * the caches differ in element type or rank.
 */
export async function deviceCaches(
  decoder: DecoderGraph,
  providers: readonly string[],
  signal?: AbortSignal,
): Promise<DeviceCaches | undefined> {
  const memory = memories[providers[0] ?? 'cpu'];
  return memory === undefined ? undefined : joinOn(decoder, memory, providers, signal);
}

/** The same on a memory of choice. */
async function joinOn(
  decoder: DecoderGraph,
  memory: DeviceCaches['memory'],
  providers: readonly string[],
  signal?: AbortSignal,
): Promise<DeviceCaches | undefined> {
  const names = new Set(decoder.wiring.caches.map(({ input }) => input));
  const kinds = new Set(
    decoder.graph.session.inputs
      .filter(({ name }) => names.has(name))
      .map(({ elementType, shape }) => `${elementType} ${shape.length}`),
  );
  const [elementType, rank] = [...kinds][0]?.split(' ') ?? [];
  const type = elementType === undefined ? undefined : dataTypeCode(elementType);
  if (kinds.size !== 1 || type === undefined) return undefined;
  const bytes = joinGraph(type, Number(rank));
  const join = await Session.load(bytes, { providers, signal });
  return { join, memory, kernels: memory === 'Cuda' };
}

/** first[first_rows] followed by second[second_rows] along the first axis. */
export function joinGraph(type: number, rank: number): Uint8Array {
  const open = (name: string) => Array.from({ length: rank }, (_, axis) => `${name}_${axis}`);
  const axis = { attributes: { axis: 0 } };
  return serializeModel(
    createMessage('ModelProto', {
      irVersion: 8n,
      opsetImport: [createMessage('OperatorSetIdProto', { domain: '', version: 17n })],
      graph: createMessage('GraphProto', {
        name: 'join caches',
        node: [
          makeNode('Gather', ['first', 'first_rows'], ['a'], axis),
          makeNode('Gather', ['second', 'second_rows'], ['b'], axis),
          makeNode('Concat', ['a', 'b'], ['joined'], axis),
        ],
        input: [
          valueInfo('first', type, open('first')),
          valueInfo('second', type, open('second')),
          valueInfo('first_rows', 7, ['first_count']),
          valueInfo('second_rows', 7, ['second_count']),
        ],
        output: [valueInfo('joined', type, open('joined'))],
      }),
    }),
  );
}
