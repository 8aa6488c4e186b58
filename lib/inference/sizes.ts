import { type ModelSizes, type PassSizes, selectsRows } from './pass-memory.js';
import type { EvaluatorProgram } from './program.js';

/** Sizes of a decoder from its declared inputs and outputs. */
export function modelSizes({
  decoder,
  wiring,
  targets,
}: Pick<EvaluatorProgram, 'decoder' | 'wiring' | 'targets'>): ModelSizes {
  const input = (name: string) => decoder.inputs.find((tensor) => tensor.name === name);
  const bytesOf = (type: string | undefined) => (type === 'float16' ? 2 : 4);
  let cacheBytesPerToken = 0;
  let headSize = 64;
  for (const cache of wiring.caches) {
    const tensor = input(cache.input);
    const fixed = tensor?.shape.filter((extent) => typeof extent === 'number') ?? [];
    cacheBytesPerToken += fixed.reduce((product, extent) => product * extent, bytesOf(tensor?.elementType));
    headSize = fixed.at(-1) ?? headSize;
  }
  const embeds = input(wiring.embeds);
  const hidden = embeds?.shape[2];
  const vocabulary = decoder.outputs.find((tensor) => tensor.name === wiring.logits)?.shape[2];
  return {
    cacheBytesPerToken,
    // Every layer caches keys and values.
    layers: Math.max(1, wiring.caches.length / 2),
    headSize,
    // Open extents are rare; the figures of a 7B model then keep the estimate on the safe side.
    hidden: typeof hidden === 'number' ? hidden : 4096,
    vocabulary: typeof vocabulary === 'number' ? vocabulary : Math.max(32000, ...targets),
    floatBytes: bytesOf(embeds?.elementType),
  };
}

/** What decides how much memory the passes of a program take with `prefixLength` tokens shared. */
export function passSizes(program: EvaluatorProgram, prefixLength: number, sizes: ModelSizes): PassSizes {
  return {
    tokens: program.tokenIds.length,
    prefixLength,
    targets: program.targets.length,
    selectsRows: selectsRows(program.wiring),
    features: program.imagePositions.length,
    visionTokens: program.visionTokens ?? program.imagePositions.length,
    visionTiles: program.visionTiles ?? 1,
    pixels: program.pixels.length,
    sizes,
  };
}
