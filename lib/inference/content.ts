import { createHash } from 'node:crypto';
import type { EvaluatorProgram, ProgramMode } from './program.js';
import { runtime } from './runtime.js';

/** Hex SHA-256 of a list of values; neither their borders nor their order can be mistaken. */
export function contentHash(parts: readonly (string | number | boolean | ArrayBufferView)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    if (ArrayBuffer.isView(part)) {
      const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
      hash.update(`bytes ${part.byteLength}\n`).update(bytes);
    } else {
      hash.update(`${typeof part} ${JSON.stringify(part)}\n`);
    }
  }
  return hash.digest('hex');
}

/** Changes whenever the same program is run or batched in another way. */
const LAYOUT = 'runs by length, rows of the last layer, image states together where tried';

/**
 * What decides the bytes of every score of a program besides the cell: model, inputs, masking, scored tokens,
 * how cells are run and batched, and the runtime. The number of workers is not part of it.
 */
export function programContent(
  program: EvaluatorProgram & { readonly modelContent: string },
  mode: ProgramMode,
  batching: {
    readonly memory: number;
    readonly shares: number;
    /** Codes of the fallbacks that were taken. */
    readonly fallbacks: readonly string[];
  },
): string {
  const feeds = Object.entries(program.visionFeeds).filter(([name]) => name !== program.pixelInput);
  return contentHash([
    LAYOUT,
    program.modelContent,
    runtime().version,
    program.imagePlayers,
    program.textPlayers,
    program.pixels,
    program.baselinePixels,
    Int32Array.from(program.pixelShape),
    program.pixelPlayers,
    feeds.length,
    ...feeds.flatMap(([name, feed]) => [name, feed.shape.join(), feed.data as ArrayBufferView]),
    program.tokenIds,
    program.imagePositions,
    program.textPositions,
    program.padTokenId,
    program.textMasking,
    program.leaveOut === true,
    program.positions,
    program.targets,
    mode.prefixLength,
    mode.compact,
    mode.padded === true,
    mode.onDevice === true,
    mode.deviceKernels === true,
    batching.memory,
    batching.shares,
    batching.fallbacks.join(),
  ]);
}
