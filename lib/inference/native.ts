import type { NativeHandle, TensorData } from '../addon/addon.js';
import type { NativeJob } from '../addon/job.js';
import type { BatchHalving } from '../cells/scores.js';

/** A tensor's declaration; `type` is ONNX's element type number, -1 in `shape` stands for an open extent. */
export interface NativeSpec {
  readonly name: string;
  readonly type: number;
  readonly shape: readonly number[];
  readonly symbols: readonly string[];
}

export interface ModelMetadata {
  readonly producer: string;
  readonly graph: string;
  readonly domain: string;
  readonly description: string;
  readonly version: number;
  readonly custom: Readonly<Record<string, string>>;
}

export interface NativeSession {
  readonly handle: NativeHandle;
  readonly inputs: readonly NativeSpec[];
  readonly outputs: readonly NativeSpec[];
  readonly metadata: ModelMetadata;
}

export interface NativeSessionRequest {
  readonly path?: string;
  readonly bytes?: Uint8Array;
  readonly label: string;
  readonly providers: readonly string[];
  readonly threads: number;
  readonly optimization: number;
  readonly lowMemory: boolean;
  readonly sharedArena: boolean;
  readonly externalDataFolder?: string;
  readonly optimizedModelPath?: string;
}

export type NativeFeed =
  | { readonly input: number; readonly handle: NativeHandle }
  | {
      readonly input: number;
      readonly data: TensorData;
      readonly type: number;
      readonly shape: readonly number[];
    };

export interface NativeOutput {
  readonly type: number;
  readonly shape: readonly number[];
  readonly data?: TensorData;
  readonly handle?: NativeHandle;
}

declare module '../addon/addon.js' {
  interface NativeAddon {
    loadRuntime(path: string, version: string): NativeRuntime;
    providerProblem(name: string): string;
    createSession(request: NativeSessionRequest): NativeJob<NativeSession>;
    disposeSession(handle: NativeHandle): void;
    runSession(
      handle: NativeHandle,
      feeds: readonly NativeFeed[],
      outputs: readonly { output: number; keep: boolean }[],
    ): NativeJob<readonly NativeOutput[]>;
    readTensor(handle: NativeHandle): TensorData;
    disposeTensor(handle: NativeHandle): void;
    returnFreedMemory(): void;
    createProgram(program: NativeProgram): NativeHandle;
    evaluateCoalitions(
      program: NativeHandle,
      schedule: NativeSchedule,
      onProgress?: (done: number, total: number) => void,
    ): EvaluationJob;
  }
}

/** native/inference/coalition_program.hpp; indices of inputs and outputs, -1 where there is none. */
export interface NativeProgram {
  readonly vision: NativeHandle;
  readonly embed: NativeHandle;
  readonly decoder: NativeHandle;
  readonly pixelInput: number;
  readonly featureOutput: number;
  readonly pixelShape: Int32Array;
  readonly pixels: Float32Array;
  readonly baselinePixels: Float32Array;
  readonly pixelPlayers: Int32Array;
  readonly visionConstants: readonly {
    readonly input: number;
    readonly type: number;
    readonly shape: Int32Array;
    readonly data: TensorData;
  }[];
  readonly tokenIds: Int32Array;
  readonly imagePositions: Int32Array;
  readonly textPositions: Int32Array;
  readonly padTokenId: number;
  readonly removeAbsent: boolean;
  readonly positionAxes: number;
  readonly positions: Int32Array;
  readonly targets: Int32Array;
  readonly embedsInput: number;
  readonly maskInput: number;
  readonly positionInput: number;
  readonly keepInput: number;
  readonly rowsInput: number;
  readonly branchInput: number;
  readonly logitsOutput: number;
  readonly cacheInputs: Int32Array;
  readonly cacheOutputs: Int32Array;
  readonly deviceCaches?: { readonly join: NativeHandle; readonly memory: string; readonly kernels: boolean };
  readonly prefixLength: number;
  readonly compact: boolean;
  readonly padded: boolean;
}

/** native/inference/coalition_executor.hpp */
export interface NativeSchedule {
  readonly imagePlayers: number;
  readonly textPlayers: number;
  readonly imageStates: Uint8Array;
  readonly textStates: Uint8Array;
  readonly groupOffsets: Int32Array;
  readonly groupStates: Int32Array;
  readonly rowOffsets: Int32Array;
  readonly rowSlots: Int32Array;
  readonly rowTexts: Int32Array;
  /**
   * One byte per row: 1 where the score is known. Such a row keeps its place in its batch, but is not run.
   */
  readonly rowKnown?: Uint8Array;
  /** Rows that are run together: those of run r begin at runOffsets[r]; the last offset is the end. */
  readonly runOffsets: Int32Array;
  readonly visionBatch: number;
  readonly prefixBatch: number;
  readonly workers: number;
}

/**
 * Runs and seconds (summed over workers) of an evaluation, and batches that had to be halved for want of
 * memory.
 */
export interface ExecutionReport {
  readonly visionRuns: number;
  readonly prefixRuns: number;
  readonly suffixRuns: number;
  /** Copies of prefixes' caches; batches that continue the same prefixes share one. */
  readonly cacheCopies: number;
  /** Batches of pixels masked, and of logits scored, in the provider's memory. */
  readonly deviceMasks: number;
  readonly deviceScores: number;
  readonly seconds: {
    readonly mask: number;
    readonly vision: number;
    readonly prefix: number;
    readonly expand: number;
    readonly suffix: number;
    readonly score: number;
  };
  readonly halvings: readonly BatchHalving[];
}

/** An evaluation in progress; `take` hands over the rows that were scored since it was called last. */
export interface EvaluationJob extends NativeJob<NativeEvaluation> {
  take(): ScoredRows;
}

export interface ScoredRows {
  readonly rows: Int32Array;
  /** [rows, targets] */
  readonly logProbabilities: Float64Array;
}

export interface NativeEvaluation {
  /** [rows, targets] */
  readonly logProbabilities: Float64Array;
  readonly done: Uint8Array;
  readonly report: ExecutionReport;
  /** What ended the evaluation early; a cancelled one has no failure, only rows that are not done. */
  readonly failure?: Error;
}

export interface NativeRuntime {
  readonly version: string;
  readonly path: string;
  readonly buildInfo: string;
  readonly compiledProviders: readonly string[];
}
