import { FsynError } from '../errors.js';
import type { Session, TensorInfo, TensorValue } from '../inference/session.js';
import { NativeTensor } from '../inference/tensor.js';
import { Lease } from '../lease.js';
import { gradientName } from './autodiff/backward.js';
import { valueInfo } from './graph.js';
import type { OnnxModel } from './model.js';
import { type Plan, SEED } from './plan.js';
import { createMessage } from './protobuf.js';
import type { Segment } from './segments.js';
import { dataTypeCode, isExternal } from './tensors.js';
import { type Feeds, openSession } from './types.js';

interface OpenSegment extends Omit<Segment, 'forward' | 'backward'> {
  readonly forward: Session;
  readonly backward: Session | undefined;
}

interface ChainOptions {
  readonly threads: number;
  readonly lowMemory: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The sessions of all segments, closed when retired and no pass uses them any more. */
export class SegmentChain {
  readonly segments: readonly OpenSegment[];
  readonly #sessions: Lease<readonly OpenSegment[]>;

  private constructor(segments: readonly OpenSegment[]) {
    this.segments = segments;
    this.#sessions = new Lease(segments, closeSegments);
  }

  /**
   * Opens forward sessions from first to last and backward ones from last to first: each tells the types of
   * what it passes on.
   */
  static async open(segments: readonly Segment[], options: ChainOptions): Promise<SegmentChain> {
    const opened: Session[] = [];
    const types = new Map<string, TensorInfo>();
    const open = async (model: OnnxModel) => {
      const session = await openDeclared(model, types, options);
      opened.push(session);
      for (const output of session.outputs) types.set(output.name, output);
      return session;
    };
    try {
      const forward: Session[] = [];
      for (const segment of segments) forward.push(await open(segment.forward));
      const backward: (Session | undefined)[] = [];
      for (const segment of [...segments].reverse()) {
        backward.unshift(segment.backward ? await open(segment.backward) : undefined);
      }
      return new SegmentChain(
        segments.map((segment, i) => ({ ...segment, forward: forward[i] as Session, backward: backward[i] })),
      );
    } catch (error) {
      for (const session of opened) session.dispose();
      throw error;
    }
  }

  /** Keeps the sessions open until the hold is disposed. */
  hold(): Disposable {
    return this.#sessions.hold();
  }

  retire(): void {
    void this.#sessions.retire();
  }
}

function closeSegments(segments: readonly OpenSegment[]): void {
  for (const { forward, backward } of segments) {
    forward.dispose();
    backward?.dispose();
  }
}

/** Opens a part of a graph whose open inputs have the types that other parts' sessions report. */
async function openDeclared(
  model: OnnxModel,
  types: ReadonlyMap<string, TensorInfo>,
  { threads, lowMemory, signal }: ChainOptions,
): Promise<Session> {
  const { graph } = model;
  const declared = new Set([...graph.proto.input.map((value) => value.name), ...graph.initializers.keys()]);
  const open = new Set(graph.nodes.flatMap((node) => node.input.filter((input) => types.has(input))));
  for (const name of open) {
    const { elementType, shape } = types.get(name) as TensorInfo;
    if (declared.has(name) || graph.producerOf(name)) continue;
    const elemType = dataTypeCode(elementType) as number;
    // An empty shape may be an unknown rank: leave it open.
    graph.proto.input.push(
      shape.length > 0
        ? valueInfo(
            name,
            elemType,
            shape.map((d) => (typeof d === 'number' ? d : '')),
          )
        : createMessage('ValueInfoProto', { name, type: { tensorType: { elemType } } as never }),
    );
  }
  if (lowMemory) keepUnfolded(model);
  return openSession(model, 'all', signal, threads, lowMemory);
}

/**
 * Declares weights that the graph computes others from (half precision that is widened, a matrix that is
 * transposed) as inputs with a default. ONNX Runtime does not fold such constants, so the result exists
 * during a run only.
 */
function keepUnfolded({ graph }: OnnxModel): void {
  const constants = new Set(graph.initializers.keys());
  for (const node of graph.nodes) {
    if (!node.input.every((input) => constants.has(input))) continue;
    for (const input of node.input) {
      const item = graph.initializers.get(input);
      if (!item || !isExternal(item) || graph.proto.input.some((value) => value.name === input)) continue;
      graph.proto.input.push(valueInfo(input, item.dataType, item.dims.map(Number)));
    }
  }
}

type Saved = Record<string, TensorValue>;

/** The results of one forward run, and its backward runs. */
export class ForwardPass {
  /** The differentiated tensor. */
  readonly output: TensorValue;
  /** Exposed tensors by name; attention probabilities and hidden states among them when asked for. */
  readonly values: Readonly<Record<string, TensorValue>>;
  readonly #chain: SegmentChain;
  readonly #hold: Disposable;
  readonly #plan: Plan;
  readonly #feeds: Feeds;
  #saved: Saved | undefined;

  private constructor(chain: SegmentChain, hold: Disposable, plan: Plan, feeds: Feeds, saved: Saved) {
    this.#chain = chain;
    this.#hold = hold;
    this.#plan = plan;
    this.#feeds = feeds;
    this.#saved = saved;
    this.output = saved[plan.output];
    this.values = Object.fromEntries(
      plan.expose.map((name) => [name, (saved[name] ?? feeds[name]) as TensorValue]),
    );
  }

  /** @internal made by `SplitModel.forward` */
  static async run(
    chain: SegmentChain,
    plan: Plan,
    feeds: Feeds,
    options: { readonly signal?: AbortSignal },
  ): Promise<ForwardPass> {
    const saved: Saved = {};
    const hold = chain.hold();
    try {
      const last = chain.segments.length - 1;
      for (const [index, segment] of chain.segments.entries()) {
        // The last segment is the first to be run backward.
        const names = [...segment.carried, ...(index === last ? segment.residuals : [])];
        Object.assign(
          saved,
          await runForward(segment, { ...feeds, ...saved }, names, segment.wanted, options),
        );
      }
      return new ForwardPass(chain, hold, plan, feeds, saved);
    } catch (error) {
      free(saved);
      hold[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Gradients by tensor name.
   *
   * @param cotangent of the output, of its shape
   * @throws FsynError `DISPOSED`
   */
  async backward(
    cotangent: TensorValue,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Record<string, TensorValue>> {
    const saved = this.#saved;
    if (!saved) throw new FsynError('DISPOSED', 'The forward pass has been disposed.');
    const given: Saved = { ...this.#feeds, ...saved, [SEED]: cotangent };
    const passed: Saved = {};
    using _ = this.#chain.hold();
    try {
      const segments = this.#chain.segments;
      for (const [index, segment] of [...segments.entries()].reverse()) {
        if (!segment.backward) continue;
        const missing = segment.residuals.filter((name) => !(name in saved));
        const again = missing.length > 0 ? await runForward(segment, given, missing, [], options) : {};
        try {
          const feeds = inputsOf(segment.backward, { ...given, ...passed, ...again });
          const outputs = [...segment.passedOn, ...segment.gradients];
          const made = await segment.backward.run(feeds, { outputs, keep: segment.passedOn, ...options });
          Object.assign(passed, made);
        } finally {
          free(again);
        }
        freeUnread(passed, segments.slice(0, index));
      }
    } finally {
      free(passed);
    }
    return Object.fromEntries(this.#plan.wrt.map((name) => [name, passed[gradientName(name)]]));
  }

  /** Frees what was kept for backward runs. */
  dispose(): void {
    if (!this.#saved) return;
    free(this.#saved);
    this.#saved = undefined;
    this.#hold[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Runs a segment forward; `kept` stays in native memory unless it is wanted, too. */
async function runForward(
  segment: OpenSegment,
  given: Feeds,
  kept: readonly string[],
  wanted: readonly string[],
  options: { readonly signal?: AbortSignal },
): Promise<Saved> {
  const outputs = [...new Set([...wanted, ...kept])];
  const keep = kept.filter((name) => !wanted.includes(name));
  return segment.forward.run(inputsOf(segment.forward, given), { outputs, keep, ...options });
}

/** What a session reads of what there is; the session itself names what is missing. */
function inputsOf(session: Session, given: Feeds): Saved {
  return Object.fromEntries(
    session.inputs.flatMap(({ name }) => {
      const value = given[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function free(values: Saved): void {
  for (const value of Object.values(values)) if (value instanceof NativeTensor) value.dispose();
}

/** Frees gradients that no remaining segment reads. */
function freeUnread(passed: Saved, remaining: readonly OpenSegment[]): void {
  const read = new Set(remaining.flatMap(({ backward }) => backward?.inputs.map(({ name }) => name) ?? []));
  for (const [name, value] of Object.entries(passed)) {
    if (value instanceof NativeTensor && !read.has(name)) value.dispose();
  }
}
