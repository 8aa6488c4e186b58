import ndarray from 'ndarray';
import { FsynError } from '../../errors.js';
import { fromHalfArray, toHalfArray } from '../../float16.js';
import type { TensorValue } from '../../inference/session.js';
import { intAttribute } from '../attributes.js';
import { type Dimension, declaredShape, type OnnxGraph } from '../graph.js';
import type { OnnxModel } from '../model.js';
import type { NodeProto } from '../protobuf.js';
import { operatorName } from '../queries.js';
import { DataType } from '../tensors.js';
import { type Feeds, openSession } from '../types.js';
import { causal, visibilityBias } from './attention.js';
import { DecompositionBuilder } from './builder.js';
import { groupQueryAttention, type Heeded } from './group-query.js';

/** Inputs of a decoder by what they are. */
export interface DecoderInputs {
  readonly embeds: string;
  readonly mask: string;
  readonly positions: string;
}

/**
 * Makes GroupQueryAttention heed the whole attention mask and `position_ids`, in place: the operator itself
 * takes only the mask's sum, so that a removed token would stay attended, counts positions itself where
 * rotation is inside of it, and refuses several sequences on a cache. Every kind of such node is first tried
 * against the runtime's kernel.
 *
 * @returns the names of inputs that were added; undefined where the graph has no such operator, or one that
 *   cannot be rewritten
 */
export async function heedMask(
  model: OnnxModel,
  names: DecoderInputs,
  signal?: AbortSignal,
): Promise<string[] | undefined> {
  const { graph } = model;
  const nodes = graph.nodes.filter(isGroupQuery);
  if (nodes.length === 0 || ![names.embeds, names.mask].every((name) => graph.inputNames.includes(name)))
    return undefined;
  const kinds = new Map(nodes.map((node) => [kindOf(graph, node), node]));
  for (const node of kinds.values()) if (!(await equalsKernel(model, node, signal))) return undefined;
  const added =
    graph.inputNames.includes(names.positions) || !nodes.some(countsPositions) ? [] : [names.positions];
  if (added.length > 0) {
    const embeds = graph.proto.input.find(({ name }) => name === names.embeds);
    graph.addInput(
      names.positions,
      DataType.int64,
      ((embeds && declaredShape(embeds)) ?? ['', '']).slice(0, 2),
    );
  }
  rewrite(graph, names);
  return added;
}

function isGroupQuery(node: NodeProto): boolean {
  return operatorName(node.opType, node.domain) === 'com.microsoft::GroupQueryAttention';
}

function countsPositions(node: NodeProto): boolean {
  return intAttribute(node, 'do_rotary', 0) === 1 && !node.input[9];
}

/** Nodes of one kind differ only in their weights. */
function kindOf(graph: OnnxGraph, node: NodeProto): string {
  const attributes = node.attribute.map(({ name, i, f }) => `${name} ${i} ${f}`).sort();
  const present = node.input.map((name, i) => (name === '' ? '' : i > 6 && i < 9 ? name : 'given'));
  return JSON.stringify([attributes, present, cacheOf(graph, node)]);
}

/** Element type and head size of a node's cache, as its input is declared. */
function cacheOf(graph: OnnxGraph, node: NodeProto): { type: number; size: number } | undefined {
  const value = graph.proto.input.find(({ name }) => name === node.input[3]);
  const size = value && declaredShape(value)?.[3];
  const type = value?.type?.tensorType?.elemType;
  const known = type === DataType.float32 || type === DataType.float16;
  return known && typeof size === 'number' ? { type, size } : undefined;
}

function rewrite(graph: OnnxGraph, names: DecoderInputs): void {
  const builder = new DecompositionBuilder(graph);
  const known = new Map<string, string>();
  const once = (key: string, make: () => string): string => {
    const name = known.get(key) ?? make();
    known.set(key, name);
    return name;
  };
  const bias = (window: number) =>
    once(`bias ${window}`, () => {
      const keys = builder.dimension(names.mask, 1);
      const queries = builder.dimension(names.embeds, 1);
      const places = builder.op('Add', [builder.range(queries), builder.op('Sub', [keys, queries])]);
      const attended = builder.op('Cast', [names.mask], { to: DataType.bool });
      const seen = builder.op('And', [
        builder.unsqueeze(causal(builder, places, keys, window), 1),
        builder.unsqueeze(attended, 1, 2),
      ]);
      return visibilityBias(builder, seen);
    });
  const rows = (table: string, positions: string) =>
    once(`rows ${table} ${positions}`, () => {
      const picked = builder.op('Gather', [table, positions]);
      return builder.unsqueeze(builder.op('Cast', [picked], { to: DataType.float32 }), 1);
    });
  for (const node of graph.nodes) {
    if (!isGroupQuery(node)) {
      builder.nodes.push(node);
      continue;
    }
    const half = cacheOf(graph, node)?.type === DataType.float16;
    const heeded: Heeded = { bias, rows, positions: names.positions, half };
    groupQueryAttention(node, builder, heeded);
  }
  graph.setNodes(builder.nodes);
  graph.proto.valueInfo = [];
  graph.prune();
}

/** Sequences of the trial: a first run of two, and one that goes on. The kernel takes no more on a cache. */
const TRIALS = [
  { batch: 2, length: 5, past: 0 },
  { batch: 1, length: 4, past: 3 },
] as const;

/** Whether a node's rewriting gives what the runtime's kernel gives on sequences without removed tokens. */
async function equalsKernel(model: OnnxModel, node: NodeProto, signal?: AbortSignal): Promise<boolean> {
  const cache = cacheOf(model.graph, node);
  if (cache === undefined) return false;
  const names = { embeds: 'trial/embeds', mask: 'trial/mask', positions: 'trial/positions' };
  const kernel = trialModel(model, node, cache, names);
  const rewritten = kernel.clone();
  try {
    rewrite(rewritten.graph, names);
  } catch (error) {
    if (error instanceof FsynError && error.code === 'UNSUPPORTED_OPERATOR') return false;
    throw error;
  }
  const sessions = [await openSession(kernel, 'all', signal), await openSession(rewritten, 'all', signal)];
  try {
    for (const trial of TRIALS) {
      const feeds = trialFeeds(model.graph, node, cache, names, trial);
      const [wanted, given] = await Promise.all(
        sessions.map((session) => {
          const reads = new Set(session.inputs.map(({ name }) => name));
          return session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => reads.has(name))));
        }),
      );
      const rounding = cache.type === DataType.float16 ? 1e-2 : 1e-4;
      if (!Object.keys(wanted).every((name) => close(wanted[name], given[name], rounding))) return false;
    }
    return true;
  } catch (error) {
    // A node that the kernel does not run in such a trial is left as it is.
    if (error instanceof FsynError && !signal?.aborted) return false;
    throw error;
  } finally {
    for (const session of sessions) session.dispose();
  }
}

/** The node alone, everything that is not a constant an input. */
function trialModel(
  model: OnnxModel,
  node: NodeProto,
  { type, size }: { type: number; size: number },
  names: DecoderInputs,
): OnnxModel {
  const { graph } = model;
  const part = model.withNodes(
    [node],
    node.output.filter((name) => name !== ''),
  );
  part.graph.proto.input = [];
  part.graph.touch();
  const groups = intAttribute(node, 'kv_num_heads', 0);
  const types: [number, Dimension[]][] = [
    [type, ['b', 's', '']],
    [type, ['b', 's', '']],
    [type, ['b', 's', '']],
    [type, ['b', groups, 'p', size]],
    [type, ['b', groups, 'p', size]],
    [DataType.int32, ['']],
    [DataType.int32, []],
    [type, ['', '']],
    [type, ['', '']],
    [DataType.int64, ['b', 's']],
  ];
  for (const [i, name] of node.input.entries()) {
    if (name === '' || graph.initializers.has(name) || i >= types.length) continue;
    part.graph.addInput(name, ...types[i]);
  }
  part.graph.addInput(names.embeds, DataType.float32, ['b', 's', 1]);
  part.graph.addInput(names.mask, DataType.int64, ['b', 't']);
  part.graph.addInput(names.positions, DataType.int64, ['b', 's']);
  return part;
}

function trialFeeds(
  graph: OnnxGraph,
  node: NodeProto,
  { type, size }: { type: number; size: number },
  names: DecoderInputs,
  { batch, length, past }: { batch: number; length: number; past: number },
): Feeds {
  const [heads, groups] = [intAttribute(node, 'num_heads', 0), intAttribute(node, 'kv_num_heads', 0)];
  let turn = 0;
  const floats = (...shape: number[]) => {
    const count = shape.reduce((product, extent) => product * extent, 1);
    const values = Float32Array.from({ length: count }, () => Math.sin(++turn * 12.9898));
    return ndarray(type === DataType.float16 ? toHalfArray(values) : values, shape) as TensorValue;
  };
  const whole = (values: number[], shape: number[]) =>
    ndarray(BigInt64Array.from(values, BigInt), shape) as unknown as TensorValue;
  const total = past + length;
  const places = Array.from({ length: batch * length }, (_, i) => past + (i % length));
  const packed = !node.input[1];
  const half = intAttribute(node, 'rotary_embedding_dim', 0) / 2 || size / 2;
  const values = [
    floats(batch, length, size * (packed ? heads + 2 * groups : heads)),
    floats(batch, length, size * groups),
    floats(batch, length, size * groups),
    floats(batch, groups, past, size),
    floats(batch, groups, past, size),
    ndarray(new Int32Array(batch).fill(total - 1), [batch]) as TensorValue,
    ndarray(Int32Array.of(total), []) as TensorValue,
    floats(64, half),
    floats(64, half),
    whole(places, [batch, length]),
  ];
  const feeds: Record<string, TensorValue> = {
    [names.embeds]: ndarray(new Float32Array(batch * length), [batch, length, 1]) as TensorValue,
    [names.mask]: whole(new Array(batch * total).fill(1), [batch, total]),
    [names.positions]: whole(places, [batch, length]),
  };
  for (const [i, name] of node.input.entries()) {
    if (name !== '' && !graph.initializers.has(name) && i < values.length) feeds[name] = values[i];
  }
  return feeds;
}

/** Whether two outputs are equal but for rounding on the scale of the larger one. */
function close(wanted: TensorValue, given: TensorValue, rounding: number): boolean {
  const [a, b] = [floatsOf(wanted), floatsOf(given)];
  if (a.length !== b.length) return false;
  const scale = a.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return a.every((value, i) => Math.abs(value - b[i]) <= rounding * scale);
}

function floatsOf(tensor: TensorValue): Float32Array {
  const data = 'data' in tensor ? tensor.data : tensor.toNdArray().data;
  return data instanceof Uint16Array ? fromHalfArray(data) : (data as Float32Array);
}
