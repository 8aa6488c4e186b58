import { availableParallelism, totalmem } from 'node:os';
import { addon, type NativeHandle } from '../addon/addon.js';
import { runPartialJob } from '../addon/job.js';
import type { BatchHalving, CellScores, CellStore, EvaluateOptions } from '../cells/scores.js';
import type { CellTable } from '../cells/table.js';
import { checkBytes, checkInteger, checkOneOf } from '../checks.js';
import { FsynError, invalidArgument } from '../errors.js';
import { resolveOptions } from '../options.js';
import { type BatchKind, batchFallback, untried } from './batch-trial.js';
import { CellCache, cellKeys } from './cell-cache.js';
import { programContent } from './content.js';
import type { EvaluationJob, ExecutionReport, NativeEvaluation, NativeSchedule } from './native.js';
import { checkBudget } from './pass-memory.js';
import { choosePath, fullPath } from './path.js';
import type { EvaluationPlan, Fallback } from './plan.js';
import {
  createNativeProgram,
  type EvaluationPath,
  type EvaluatorProgram,
  type ProgramMode,
  sharedPrefixLength,
} from './program.js';
import { makeSchedule, type Schedule } from './schedule.js';
import { modelSizes, passSizes } from './sizes.js';

export interface EvaluatorOptions {
  /** Worker threads. They share the sessions and never change a result. Default: one per core. */
  readonly workers?: number;
  /**
   * Bytes that forward passes may use beside the model's weights; fewer make smaller batches and fewer
   * workers. Default: a quarter of the machine's memory.
   */
  readonly memory?: number;
  /** Bytes for remembered scores; fewer than one cell needs remembers nothing. Default: 64 MiB. */
  readonly cacheMemory?: number;
  /** `none` runs every cell as a full pass. Default: `auto`. */
  readonly sharing?: 'auto' | 'none';
  readonly signal?: AbortSignal;
}

/** Scores with the plan that was carried out and what it took. */
export interface EvaluatedCells extends CellScores {
  readonly found: number;
  readonly halvings: readonly BatchHalving[];
  readonly plan: EvaluationPlan;
  /** Undefined when every cell was known already. */
  readonly execution: ExecutionReport | undefined;
}

const DEFAULTS = {
  workers: undefined as number | undefined,
  memory: undefined as number | undefined,
  cacheMemory: 64 * 2 ** 20,
  sharing: 'auto' as 'auto' | 'none',
  signal: undefined as AbortSignal | undefined,
};

/**
 * Scores cells of one prepared sample and shares every forward pass that can be shared: each image state is
 * encoded once, each prefix up to the first text player is run once per image state, suffixes run in batches
 * on the kept cache, and a cell that was scored before is never run again.
 *
 * Every value equals that of the cell's own full pass up to float32 rounding (1e-5 in log-probability); which
 * threads did the work never changes a byte.
 */
export class CoalitionEvaluator {
  readonly #program: EvaluatorProgram;
  readonly #native: NativeHandle;
  readonly #mode: ProgramMode;
  #fallbacks: readonly Fallback[];
  readonly #workers: number;
  readonly #memory: number;
  readonly #cache: CellCache;
  #content: string | undefined;

  private constructor(program: EvaluatorProgram, path: EvaluationPath, options: typeof DEFAULTS) {
    this.#program = program;
    this.#mode = path.mode;
    this.#fallbacks = path.fallbacks;
    this.#native = createNativeProgram(program, path.mode);
    this.#workers = options.workers ?? availableParallelism();
    this.#memory = options.memory ?? defaultBudget();
    const players = program.imagePlayers + program.textPlayers;
    this.#cache = new CellCache(options.cacheMemory, players, program.targets.length);
  }

  /**
   * Checks the program and finds out, once per decoder, what the decoder allows to share.
   *
   * @throws FsynError INVALID_ARGUMENT, MODEL_CONTRACT for a program whose parts do not fit together; BUDGET
   *   where `memory` is too small for the sample
   */
  static async create(program: EvaluatorProgram, options?: EvaluatorOptions): Promise<CoalitionEvaluator> {
    const resolved = resolveOptions('CoalitionEvaluator', DEFAULTS, options);
    const { workers, memory, cacheMemory, sharing } = resolved;
    if (workers !== undefined) checkInteger('workers', workers, 1, 1024);
    checkBytes('memory', memory);
    checkBytes('cacheMemory', cacheMemory);
    checkOneOf('sharing', sharing, ['auto', 'none']);
    const prefix = sharing === 'none' || program.wiring.caches.length === 0 ? 0 : sharedPrefixLength(program);
    checkBudget(passSizes(program, prefix, modelSizes(program)), memory ?? defaultBudget());
    const path = sharing === 'none' ? fullPath(program) : await choosePath(program, resolved.signal);
    return new CoalitionEvaluator(program, path, resolved);
  }

  /**
   * What `evaluate` would do with these cells now. Batches of a size that was not tried yet are tried.
   *
   * @throws FsynError BUDGET
   */
  async plan(cells: CellTable, options?: { readonly signal?: AbortSignal }): Promise<EvaluationPlan> {
    const { signal } = resolveOptions('plan', { signal: undefined as AbortSignal | undefined }, options);
    cells.requirePlayers(this.#program.imagePlayers, this.#program.textPlayers);
    return (await this.#schedule(cells, cellKeys(cells), false, signal)).plan;
  }

  /** Counts of remembered cells: `size` of at most `capacity`; `hits` and `misses` since the start. */
  get cache(): { size: number; capacity: number; hits: number; misses: number } {
    const { size, capacity, hits, misses } = this.#cache;
    return { size, capacity, hits, misses };
  }

  /**
   * Scores every cell of the table. Cells that were done before an error or an abort are remembered, so that
   * a second call goes on from there. With a store, another process does: cells found there keep their places
   * in the batches, so that the others get the bytes that they would have got without.
   *
   * @throws FsynError INVALID_ARGUMENT, INFERENCE, OUT_OF_MEMORY, MODEL_CONTRACT, BUDGET; rejects with the
   *   signal's reason when aborted
   */
  async evaluate(cells: CellTable, options?: EvaluateOptions): Promise<EvaluatedCells> {
    const { signal, store, onProgress } = resolveOptions('evaluate', EVALUATE_DEFAULTS, options);
    cells.requirePlayers(this.#program.imagePlayers, this.#program.textPlayers);
    signal?.throwIfAborted();
    const keys = cellKeys(cells);
    const tokens = this.#program.targets.length;
    const scores = new Float64Array(cells.cellCount * tokens);
    const schedule = await this.#schedule(cells, keys, true, signal, scores);
    const stored = store && new StoredRows(store, this.#contentKey(), schedule, keys, tokens);
    for (const [row, values] of stored?.found ?? []) {
      this.#cache.set(keys[schedule.rowCells[row]]!, values);
      scores.set(values, schedule.rowCells[row] * tokens);
    }
    const found = stored?.found.size ?? 0;
    const known = schedule.plan.cachedCells + found;
    let execution: ExecutionReport | undefined;
    if (schedule.rowCells.length > found) {
      const result = await this.#run(schedule, stored, signal, (done) =>
        onProgress?.(known + done, cells.cellCount),
      );
      for (const [row, cell] of schedule.rowCells.entries()) {
        if (!result.done[row]) continue;
        const values = result.logProbabilities.slice(row * tokens, (row + 1) * tokens);
        this.#cache.set(keys[cell], values);
        scores.set(values, cell * tokens);
      }
      if (result.stopped) throw result.stopped.reason;
      if (result.failure !== undefined) throw partialFailure(result.failure, result.done);
      execution = result.report;
    }
    onProgress?.(cells.cellCount, cells.cellCount);
    signal?.throwIfAborted();
    return {
      logProbabilities: scores,
      tokens,
      decision: this.#program.decision,
      found,
      halvings: execution?.halvings ?? [],
      plan: schedule.plan,
      execution,
    };
  }

  /**
   * `stopped` says why the rows are not all done when it was the caller's wish: aborted, or thrown by the
   * callback.
   */
  async #run(
    schedule: Schedule,
    stored: StoredRows | undefined,
    signal: AbortSignal | undefined,
    onProgress: (done: number) => void,
  ): Promise<NativeEvaluation & { readonly stopped: { readonly reason: unknown } | undefined }> {
    const stop = new AbortController();
    const forward = () => stop.abort(signal?.reason);
    let job: EvaluationJob | undefined;
    const report = (done: number) => {
      if (job !== undefined) stored?.keep(job);
      if (stop.signal.aborted) return;
      // What the callback throws must not cost the cells that are done.
      try {
        onProgress(done);
      } catch (error) {
        stop.abort(error);
      }
    };
    signal?.addEventListener('abort', forward, { once: true });
    try {
      const native: NativeSchedule = { ...schedule.native, ...(stored && { rowKnown: stored.known }) };
      const start = () => {
        job = addon().evaluateCoalitions(this.#native, native, report);
        return job;
      };
      const result = await runPartialJob(start, stop.signal);
      if (job !== undefined) stored?.keep(job);
      return { ...result, stopped: stop.signal.aborted ? { reason: stop.signal.reason } : undefined };
    } finally {
      signal?.removeEventListener('abort', forward);
    }
  }

  #contentKey(): string {
    const { modelContent } = this.#program;
    if (modelContent === undefined) {
      throw invalidArgument('store', 'none for a program without modelContent', 'a store');
    }
    this.#content ??= programContent({ ...this.#program, modelContent }, this.#mode, {
      memory: this.#memory,
      shares: availableParallelism(),
      fallbacks: this.#fallbacks.map(({ code }) => code).sort(),
    });
    return this.#content;
  }

  async #schedule(
    cells: CellTable,
    keys: readonly string[],
    use: boolean,
    signal: AbortSignal | undefined,
    scores?: Float64Array,
  ): Promise<Schedule> {
    const wanted: number[] = [];
    for (const [cell, key] of keys.entries()) {
      const known = use ? this.#cache.get(key) : this.#cache.peek(key);
      if (known === undefined) wanted.push(cell);
      else scores?.set(known, cell * known.length);
    }
    const make = () =>
      makeSchedule(this.#program, cells, Int32Array.from(wanted), {
        mode: this.#mode,
        fallbacks: this.#fallbacks,
        workers: this.#workers,
        memory: this.#memory,
        shares: availableParallelism(),
        sizes: modelSizes(this.#program),
      });
    for (;;) {
      const schedule = make();
      const fallback = await this.#tryBatches(schedule, signal);
      if (fallback === undefined) return schedule;
      this.#fallbacks = [...this.#fallbacks.filter(({ code }) => code !== fallback.code), fallback];
      this.#content = undefined;
    }
  }

  /**
   * Tries what a schedule runs together, at the sizes that it has; undefined where all of it gives the right
   * scores.
   */
  async #tryBatches({ batches }: Schedule, signal: AbortSignal | undefined): Promise<Fallback | undefined> {
    const { prefixLength } = this.#mode;
    const kinds: readonly BatchKind[] = [
      'vision',
      ...(prefixLength > 0 ? (['prefix'] as const) : []),
      'suffix',
    ];
    for (const kind of kinds) {
      const size = batches[kind];
      if (size === 1) continue;
      try {
        const wanted = { size, group: batches.group };
        const fallback = await batchFallback(this.#program, this.#mode, kind, wanted, signal);
        if (fallback !== undefined) return fallback;
      } catch (error) {
        return untried(error, 'nothing is run together');
      }
    }
    return undefined;
  }
}

const EVALUATE_DEFAULTS = {
  signal: undefined as AbortSignal | undefined,
  store: undefined as CellStore | undefined,
  onProgress: undefined as ((done: number, total: number) => void) | undefined,
};

/** The rows of a schedule in a store: what was found there, and where the others go. */
class StoredRows {
  readonly found = new Map<number, Float64Array>();
  /** One byte per row. */
  readonly known: Uint8Array;
  readonly #store: CellStore;
  readonly #content: string;
  readonly #keyOf: (row: number) => string;

  constructor(
    store: CellStore,
    content: string,
    { rowCells }: Schedule,
    keys: readonly string[],
    tokens: number,
  ) {
    this.#store = store;
    this.#content = content;
    this.#keyOf = (row) => keys[rowCells[row]]!;
    this.known = new Uint8Array(rowCells.length);
    for (let row = 0; row < rowCells.length; row++) {
      const values = store.find(content, this.#keyOf(row));
      if (values?.length !== tokens) continue;
      this.found.set(row, values);
      this.known[row] = 1;
    }
  }

  keep(job: EvaluationJob): void {
    const { rows, logProbabilities } = job.take();
    if (rows.length > 0) this.#store.keep(this.#content, Array.from(rows, this.#keyOf), logProbabilities);
  }
}

/** A quarter of the memory of the machine, or of the container that the process is confined to. */
export function defaultBudget(): number {
  const limit = process.constrainedMemory();
  return Math.floor((limit ? Math.min(limit, totalmem()) : totalmem()) / 4);
}

function partialFailure(failure: Error, done: Uint8Array): Error {
  const kept = done.reduce((sum, flag) => sum + flag, 0);
  const code = failure instanceof FsynError ? failure.code : 'INFERENCE';
  const note = `${kept} of ${done.length} cells were scored before and are kept.`;
  return new FsynError(code, `${failure.message} (${note})`, { cause: failure });
}
