import type { TensorValue } from '../../inference/session.js';
import { toNdArray } from '../../inference/tensor.js';
import { EXPORTED } from '../../onnx/exported.js';
import type { SplitModel } from '../../onnx/index.js';
import { ROWS } from '../../onnx/plan.js';
import { int64Feed } from '../../onnx/types.js';
import { concatenated, parts } from './batch.js';
import { withDecoder, withVision } from './graphs.js';
import { headMean } from './head-maps.js';
import { passOptions } from './memory.js';
import type { PassRequest } from './request.js';
import { type Computed, floats, type InnerTensors } from './results.js';
import type { ModelSessions } from './sessions.js';

/**
 * A pass through vision graph and decoder one after the other, each forward and backward in sessions of its
 * own.
 */
export function passSplit(sessions: ModelSessions, request: PassRequest): Promise<Computed> {
  const { inputs, points, options, features } = request;
  if (features) return passDecoder(sessions, request, features);
  const pixels = request.pixels();
  return withVision(sessions, request, async (vision) => {
    const feeds = inputs.visionFeeds(concatenated(pixels));
    using seen = await vision.forward(feeds, passOptions(options.signal));
    const computed = await passDecoder(sessions, request, parts(floats(seen.output), points.length));
    const cotangents = computed.embeddingGradients.map((gradient) => inputs.imageRows(gradient));
    const cotangent = toNdArray(concatenated(cotangents), seen.output.shape);
    const gradients = await seen.backward(cotangent, { signal: options.signal });
    const { pixelInput, visionTokenPlayers } = inputs.whiteBox;
    return {
      ...computed,
      vision: {
        ...innerOf(vision, seen.values, gradients, options.attentionMaps ? visionTokenPlayers.length : 0),
        pixels,
        pixelGradients: parts(floats(gradients[pixelInput]), points.length),
      },
    };
  });
}

async function passDecoder(
  sessions: ModelSessions,
  request: PassRequest,
  features: readonly Float32Array[],
): Promise<Computed> {
  const { inputs, points, options } = request;
  const { length } = inputs;
  const embeddings = await request.merged(features);
  const feeds = {
    ...inputs.decoderFeeds(concatenated(embeddings), length, points.length),
    [ROWS]: int64Feed([length - 1]),
  };
  return withDecoder(sessions, request, async (decoder) => {
    using read = await decoder.forward(feeds, passOptions(options.signal));
    const explained = parts(floats(read.output), points.length).map((row) => request.explain(row));
    const seeds = concatenated(explained.map(({ seed }) => seed));
    const gradients = await read.backward(toNdArray(seeds, read.output.shape), { signal: options.signal });
    return {
      explained,
      embeddings,
      embeddingGradients: parts(floats(gradients[EXPORTED.embeddings]), points.length),
      features,
      decoder: innerOf(decoder, read.values, gradients, options.attentionMaps ? length : 0),
    };
  });
}

type Tensors = Readonly<Record<string, TensorValue>>;

/**
 * Tensors by name, and in place of attentions what `averageHeads` makes of them in the runtime.
 *
 * @param mapTokens number of tokens of the maps; 0 for no maps
 */
function innerOf(
  { blocks }: SplitModel,
  values: Tensors,
  gradients: Tensors,
  mapTokens: number,
): InnerTensors {
  if (mapTokens === 0) return { values, gradients, maps: [] };
  const names = new Set(blocks.map(({ attention }) => attention));
  const others = (tensors: Tensors): Tensors =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => !names.has(name)));
  const maps = [...names].map((name) => headMean(values[name], gradients[name], mapTokens));
  return { values: others(values), gradients: others(gradients), maps };
}
