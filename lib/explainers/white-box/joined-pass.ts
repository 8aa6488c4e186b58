import { toNdArray } from '../../inference/tensor.js';
import { EXPORTED } from '../../onnx/exported.js';
import { ROWS } from '../../onnx/plan.js';
import { int64Feed } from '../../onnx/types.js';
import { concatenated, parts } from './batch.js';
import { withJoined } from './graphs.js';
import { averagedMap, MAP_TOKENS } from './head-maps.js';
import type { JoinedChain, JoinedImage, JoinedTarget, JoinedTensors } from './joined.js';
import { wholeLimit } from './memory.js';
import type { PassRequest } from './request.js';
import { type Computed, floats, type InnerTensors } from './results.js';
import type { ModelSessions } from './sessions.js';

/** A pass through everything in one session; undefined where that cannot be, or does not surely fit. */
export function passJoined(sessions: ModelSessions, request: PassRequest): Promise<Computed | undefined> {
  return withJoined(sessions, request, (joined) => run(joined, request));
}

async function run(joined: JoinedChain, request: PassRequest): Promise<Computed | undefined> {
  const { inputs, points, options } = request;
  const { length, whiteBox } = inputs;
  if (joined.vocabulary !== undefined) request.requireToken(joined.vocabulary);
  const count = points.length;
  const pixels = request.features ? [] : request.pixels();
  const rows = await request.rows();
  const made = await joined.run(
    toNdArray(concatenated(rows), [count, length, rows[0].length / length]),
    {
      ...inputs.decoderInputs(length, count),
      [ROWS]: int64Feed([length - 1]),
      [MAP_TOKENS]: int64Feed([length]),
    },
    targetOf(request),
    request.features ? undefined : imageOf(request, pixels),
    { memory: wholeLimit(), signal: options.signal },
  );
  if (!made) return undefined;
  const { decoder, vision } = made;
  const common = {
    explained: parts(floats(made.logits), count).map((row) => request.explain(row)),
    embeddingGradients: parts(floats(decoder.gradients[EXPORTED.embeddings]), count),
    decoder: innerOf(decoder, length),
  };
  if (request.features) return { ...common, embeddings: rows, features: request.features };
  return {
    ...common,
    embeddings: parts(floats(decoder.values[EXPORTED.embeddings]), count),
    features: parts(floats(made.features), count),
    vision: {
      ...innerOf(vision, whiteBox.visionTokenPlayers.length),
      pixels,
      pixelGradients: parts(floats(vision.gradients[whiteBox.pixelInput]), count),
    },
  };
}

function targetOf({ inputs, options }: PassRequest): JoinedTarget {
  const { target = 'logit', rival } = options;
  return { token: inputs.targetToken, rival: target === 'contrast' ? rival : undefined, target };
}

function imageOf({ inputs }: PassRequest, pixels: readonly Float32Array[]): JoinedImage {
  const { visionTokenPlayers, imagePositions } = inputs.whiteBox;
  const tokens = int64Feed([visionTokenPlayers.length]);
  return {
    feeds: { ...inputs.visionFeeds(concatenated(pixels)), [MAP_TOKENS]: tokens },
    positions: imagePositions,
  };
}

function innerOf({ values, gradients, maps }: JoinedTensors, tokens: number): InnerTensors {
  return { values, gradients, maps: maps.map((map) => averagedMap(map, tokens)) };
}
