import { freemem } from 'node:os';
import { FsynError } from '../errors.js';
import type { OnnxModel } from './model.js';
import type { Segment } from './segments.js';
import { elementBytes } from './sizes.js';
import { DataType, dimensions, externalEntry, isExternal } from './tensors.js';

/** Bytes that a forward and a backward pass need at the sizes of some inputs. */
export interface PassMemory {
  /** Most bytes of activations and gradients that exist at one time. */
  readonly peak: number;
  /** Bytes of activations kept between the forward and the backward pass. */
  readonly kept: number;
  /**
   * Bytes of weights that the sessions hold copies of; weights that are read from their files are not
   * counted.
   */
  readonly weights: number;
}

/** What a model needs with everything kept, and with checkpoints behind every transformer block. */
export interface MemoryEstimate {
  readonly plain: PassMemory;
  readonly checkpointed: PassMemory;
  /** Stretches between checkpoints; 1 when no block was recognised and checkpoints cannot help. */
  readonly segments: number;
  /** Tensors whose size could not be found: the estimate is too small by them. */
  readonly unknown: readonly string[];
}

/** Allocators round up and fragment: a pass was measured to take up to 1.5 times the bytes of its tensors. */
const ALLOCATOR_SHARE = 1.5;

/** Bytes of tensors that this process can still make without swapping, as far as the system tells. */
export function usableMemory(): number {
  // Since Node 20.13; it knows the limits of containers.
  return (process.availableMemory?.() ?? freemem()) / ALLOCATOR_SHARE;
}

export function totalBytes({ peak, weights }: PassMemory): number {
  return peak + weights;
}

/** Operators whose result is the memory of their input. */
const ALIASES = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Dropout']);
/** Operators whose result is not larger than their largest input. */
const SHRINKING = new Set([...ALIASES, 'ReduceSum', 'ReduceMean', 'ReduceMax', 'NonZero', 'Slice', 'Cast']);

/** Fills in what shape inference left open where a bound is known; returns the tensors that stay unknown. */
export function boundSizes(model: OnnxModel, sizes: Map<string, number>): string[] {
  const unknown: string[] = [];
  for (const node of model.graph.nodes) {
    for (const output of node.output) {
      if (!output || !Number.isNaN(sizes.get(output) ?? Number.NaN)) continue;
      const bound = Math.max(0, ...node.input.map((input) => sizes.get(input) ?? 0));
      const known = SHRINKING.has(node.opType);
      sizes.set(output, bound);
      if (!known) unknown.push(output);
    }
  }
  return unknown;
}

/**
 * Peak memory of a pass over segments: forward through all of them, then back, each segment's forward part
 * repeated when its residuals were not kept. Tensors are freed behind their last reader, as ONNX Runtime
 * does.
 *
 * @param fed bytes of the feeds
 * @param fromFiles whether the sessions read weights from their files, so that only what is computed from
 *   them takes memory
 */
export function passMemory(
  segments: readonly Segment[],
  sizes: ReadonlyMap<string, number>,
  fed: number,
  fromFiles: boolean,
): PassMemory {
  const bytes = (names: Iterable<string>) => {
    let sum = 0;
    for (const name of names) sum += sizes.get(name) ?? 0;
    return sum;
  };
  let [kept, peak] = [fed, 0];
  for (const [index, segment] of segments.entries()) {
    peak = Math.max(peak, kept + runPeak(segment.forward, sizes, fromFiles));
    const last = index === segments.length - 1;
    kept += bytes(new Set([...segment.carried, ...segment.wanted, ...(last ? segment.residuals : [])]));
  }
  let gradients = 0;
  for (const [index, segment] of [...segments.entries()].reverse()) {
    if (!segment.backward) continue;
    const again = index < segments.length - 1;
    if (again) peak = Math.max(peak, kept + gradients + runPeak(segment.forward, sizes, fromFiles));
    const held = kept + gradients + (again ? bytes(segment.residuals) : 0);
    peak = Math.max(peak, held + runPeak(segment.backward, sizes, fromFiles));
    gradients += bytes(segment.passedOn) + bytes(segment.gradients);
    // What came in from the segment behind is freed.
    const behind = segments[index + 1];
    if (behind) gradients -= bytes(behind.passedOn.filter((name) => !readEarlier(segments, index, name)));
  }
  const weights = fromFiles
    ? 0
    : segments.reduce(
        (sum, s) => sum + weightBytes(s.forward) + (s.backward ? weightBytes(s.backward) : 0),
        0,
      );
  return { peak, kept, weights };
}

/**
 * Memory of one graph that runs forward and backward at once; `kept` is what its backward nodes read of the
 * forward ones.
 */
export function wholeMemory(
  model: OnnxModel,
  sizes: ReadonlyMap<string, number>,
  fed: number,
  kept: number,
): PassMemory {
  return { peak: fed + runPeak(model, sizes, false), kept, weights: weightBytes(model) };
}

function readEarlier(segments: readonly Segment[], index: number, name: string): boolean {
  return segments.slice(0, index).some((segment) => segment.backward?.graph.consumersOf(name).length);
}

/**
 * Bytes of what the nodes of one run make, at the moment when most of it exists; graph outputs stay to the
 * end.
 */
function runPeak({ graph }: OnnxModel, sizes: ReadonlyMap<string, number>, withConstants: boolean): number {
  const roots = new Map<string, string>();
  const root = (tensor: string) => roots.get(tensor) ?? tensor;
  const lastUse = new Map<string, number>();
  const nodes = graph.nodes.filter((node) => node.opType !== 'Constant');
  for (const [i, node] of nodes.entries()) {
    if (ALIASES.has(node.opType)) roots.set(node.output[0], root(node.input[0]));
    for (const input of node.input) if (input) lastUse.set(root(input), i);
  }
  for (const output of graph.outputNames) lastUse.set(root(output), nodes.length);
  const constant = new Set(graph.initializers.keys());
  const alive = new Map<string, number>();
  let [now, peak] = [0, 0];
  for (const [i, node] of nodes.entries()) {
    const isConstant = node.input.every((input) => !input || constant.has(input));
    for (const output of node.output) {
      if (isConstant) constant.add(output);
      if (!output || root(output) !== output || (isConstant && !withConstants)) continue;
      const size = sizes.get(output) ?? 0;
      alive.set(output, size);
      now += size;
    }
    peak = Math.max(peak, now);
    for (const tensor of new Set([...node.input, ...node.output].map(root))) {
      if ((lastUse.get(tensor) ?? i) > i) continue;
      now -= alive.get(tensor) ?? 0;
      alive.delete(tensor);
    }
  }
  return peak;
}

/** Bytes of the constants of a session that copies them: half precision is widened to float32. */
function weightBytes({ graph }: OnnxModel): number {
  let sum = 0;
  for (const item of graph.proto.initializer) {
    if (!isExternal(item)) continue;
    const count = dimensions(item).reduce((product, d) => product * d, 1);
    const stored = Number(externalEntry(item, 'length') ?? count * elementBytes(item.dataType));
    const widened = item.dataType === DataType.float16 || item.dataType === DataType.bfloat16;
    sum += widened ? 2 * stored : stored;
  }
  return sum;
}

const MEBIBYTE = 2 ** 20;

/** The refusal of a pass that does not fit. */
export function refusal(
  source: string,
  estimate: MemoryEstimate,
  budget: number,
  checkpoints: string,
): FsynError {
  const size = (bytes: number) => `${Math.ceil(bytes / MEBIBYTE)} MiB`;
  const { plain, checkpointed, segments } = estimate;
  const best = checkpoints === 'never' ? plain : checkpointed;
  const other =
    checkpoints === 'never' && totalBytes(checkpointed) <= budget
      ? `With checkpoints it needs ${size(totalBytes(checkpointed))}: leave the option checkpoints at auto.`
      : segments > 1
        ? 'Use a smaller image or a shorter prompt, free memory, or raise the option memory if more can be used.'
        : 'No transformer blocks were recognised to put checkpoints behind. Use smaller inputs, free memory, or raise the option memory.';
  return new FsynError(
    'OUT_OF_MEMORY',
    `${source}: forward and backward need ${size(totalBytes(best))} at these sizes ` +
      `(${size(best.kept)} of activations kept, ${size(best.weights)} of weights), ` +
      `${size(Math.max(0, budget))} are available. ${other}`,
  );
}
