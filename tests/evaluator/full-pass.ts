import ndarray from 'ndarray';
import type { CellTable } from '../../lib/cells/table.js';
import type { EvaluatorProgram } from '../../lib/inference/program.js';
import type { Session } from '../../lib/inference/session.js';
import { NativeTensor, type TensorArray } from '../../lib/inference/tensor.js';
import { maskPixels, maskTokens } from '../../lib/vlm/masking.js';
import { logSoftmaxAt } from '../../lib/vlm/scoring.js';

/**
 * Scores every cell by one run of each graph on its own: no cache, no batch, no native executor. What the
 * evaluator's ways are measured against. [cells, targets]
 */
export async function fullPasses(program: EvaluatorProgram, cells: CellTable): Promise<Float64Array> {
  const { targets } = program;
  const pairs = cells.pairs();
  const state = (masks: Uint8Array, index: number, players: number) =>
    masks.subarray(index * players, (index + 1) * players);
  const scores = new Float64Array(cells.cellCount * targets.length);
  for (let cell = 0; cell < cells.cellCount; cell++) {
    const image = state(cells.imageMasks(), pairs[2 * cell], cells.imagePlayers);
    const text = state(cells.textMasks(), pairs[2 * cell + 1], cells.textPlayers);
    scores.set(await fullPass(program, image, text), cell * targets.length);
  }
  return scores;
}

async function fullPass(program: EvaluatorProgram, image: Uint8Array, text: Uint8Array) {
  const { wiring, decoder, targets, tokenIds } = program;
  const masked = maskTokens(tokenIds, program.textPositions, text, program.padTokenId, program.textMasking);
  // Attention that overlooks holes in its mask is given sequences without them.
  const kept = Array.from(tokenIds.keys()).filter((i) => !program.leaveOut || masked.attention[i] === 1);
  const length = kept.length;
  const embeds = await embed(program, masked.ids, image);
  const width = embeds.length / tokenIds.length;
  const rows = new Float32Array(length * width);
  for (const [to, from] of kept.entries())
    rows.set(embeds.subarray(from * width, (from + 1) * width), to * width);
  const attention = program.leaveOut ? kept.map(() => 1) : Array.from(masked.attention);
  const feeds: Record<string, TensorArray> = {
    [wiring.embeds]: ndarray(rows, [1, length, width]),
    [wiring.mask]: ndarray(BigInt64Array.from(attention, BigInt), [1, length]),
  };
  if (wiring.positions) {
    const positions = BigInt64Array.from(kept, (token) => BigInt(program.positions[token]));
    feeds[wiring.positions] = ndarray(positions, [1, length]);
  }
  for (const { input } of wiring.caches) feeds[input] = emptyCache(decoder, input);
  if (wiring.rows) {
    const wanted = BigInt64Array.from(targets, (_, i) => BigInt(i - targets.length));
    feeds[wiring.rows] = ndarray(wanted, [targets.length]);
  }
  const outputs = await decoder.run(feeds, { outputs: [wiring.logits] });
  const logits = floats(outputs[wiring.logits]);
  const vocabulary = logits.shape[2];
  const first = logits.shape[1] - targets.length;
  return Float64Array.from(targets, (token, i) => logSoftmaxAt(logits.data, vocabulary, first + i, token));
}

/** Embeddings of the tokens with the image's features in their places: [tokens, width]. */
async function embed(program: EvaluatorProgram, ids: Int32Array, image: Uint8Array): Promise<Float32Array> {
  const pixels = maskPixels(program.pixels, program.baselinePixels, program.pixelPlayers, image);
  const vision = await program.vision.run(
    { ...program.visionFeeds, [program.pixelInput]: ndarray(pixels, [...program.pixelShape]) },
    { outputs: [program.featureOutput] },
  );
  const features = floats(vision[program.featureOutput]).data;
  const [input] = program.embed.inputs;
  const [output] = program.embed.outputs;
  const tokens = await program.embed.run({
    [input!.name]: ndarray(BigInt64Array.from(ids, BigInt), [1, ids.length]),
  });
  const embeds = floats(tokens[output!.name]).data.slice();
  const width = embeds.length / ids.length;
  for (const [i, position] of program.imagePositions.entries()) {
    embeds.set(features.subarray(i * width, (i + 1) * width), position * width);
  }
  return embeds;
}

function emptyCache(decoder: Session, name: string): TensorArray {
  const { shape } = decoder.inputs.find((input) => input.name === name)!;
  return ndarray(
    new Float32Array(0),
    shape.map((extent, axis) => (axis === 0 ? 1 : typeof extent === 'number' ? extent : 0)),
  );
}

function floats(value: unknown): { data: Float32Array; shape: number[] } {
  const array = value instanceof NativeTensor ? value.toNdArray() : (value as TensorArray);
  if (!(array.data instanceof Float32Array)) throw new Error('expected float32');
  return { data: array.data, shape: array.shape };
}
