import type { Fallback } from '../../inference/plan.js';
import type { SessionOptions } from '../../inference/session.js';
import type { OnnxModel } from '../../onnx/model.js';
import { HALF } from '../../onnx/tensors.js';
import { type EditedDecoder, loadGraph } from './file.js';
import { DecoderGraph } from './graph.js';
import type { EmbedGraph } from './graphs.js';

/**
 * Opens the decoder that computes wanted rows only, if it gives the logits of its file, which is opened
 * before it and closed unless it is needed.
 */
export async function openDecoder(
  file: OnnxModel,
  edited: EditedDecoder,
  embed: EmbedGraph,
  vocabulary: number,
  options: SessionOptions,
): Promise<{ readonly decoder: DecoderGraph; readonly fallbacks: readonly Fallback[] }> {
  const open = async ({ model, added }: EditedDecoder, lowMemory = false) => {
    const session = await loadGraph(file, model, { ...options, lowMemory });
    try {
      return new DecoderGraph({ session, path: file.source }, added);
    } catch (error) {
      session.dispose();
      throw error;
    }
  };
  const unedited = { model: file, added: [] };
  if (edited.model === file) return { decoder: await open(unedited), fallbacks: [] };
  const { signal } = options;
  const logitsOf = async (which: EditedDecoder, lowMemory: boolean) => {
    const decoder = await open(which, lowMemory);
    try {
      return { decoder, logits: await trialLogits(decoder, embed, vocabulary, signal) };
    } catch (error) {
      decoder.graph.session.dispose();
      throw error;
    }
  };
  const plain = await logitsOf(unedited, true);
  plain.decoder.graph.session.dispose();
  const { decoder, logits } = await logitsOf(edited, false);
  if (sameLogits(plain.logits, logits, computesInHalf(file))) return { decoder, fallbacks: [] };
  decoder.graph.session.dispose();
  const reason = 'The decoder gives other logits when it computes wanted rows only: all rows are computed.';
  return { decoder: await open(unedited), fallbacks: [{ code: 'all-rows', reason }] };
}

/** Whether a graph rounds to half precision anywhere: its weights or what goes in and out of it. */
function computesInHalf({ graph }: OnnxModel): boolean {
  const types = [...graph.proto.input, ...graph.proto.output].map(({ type }) => type?.tensorType?.elemType);
  return [...types, ...graph.proto.initializer.map(({ dataType }) => dataType)].some((type) =>
    HALF.has(type ?? 0),
  );
}

/** Tokens of a sequence of the trial, and how many of them come first where a cache is continued. */
const length = 12;
const prefix = 8;
/** Rows of logits that are compared. */
const rows = 3;

/** Last rows of logits of two sequences, run whole and in two pieces. */
interface TrialLogits {
  readonly whole: readonly Float32Array[];
  readonly continued: readonly Float32Array[];
}

/** Runs two made-up sequences through a decoder, as scoring and generating do. */
async function trialLogits(
  decoder: DecoderGraph,
  embed: EmbedGraph,
  vocabulary: number,
  signal?: AbortSignal,
): Promise<TrialLogits> {
  const whole: Float32Array[] = [];
  const continued: Float32Array[] = [];
  for (const sequence of [0, 1]) {
    const ids = Int32Array.from({ length }, (_, i) =>
      Math.floor((((5 * i + 7 * sequence + 1) % 24) * vocabulary) / 24),
    );
    const { values, hidden } = await embed.run(ids, signal);
    const run = async (
      from: number,
      to: number,
      wanted: number,
      cache?: Parameters<DecoderGraph['run']>[1],
    ) =>
      decoder.run(
        {
          batch: 1,
          length: to - from,
          embeds: values.slice(from * hidden, to * hidden),
          mask: new Int32Array(to).fill(1),
          positions: Int32Array.from({ length: to - from }, (_, i) => from + i),
          rows: wanted,
        },
        cache,
        to === prefix,
        signal,
      );
    whole.push((await run(0, length, rows)).logits);
    const { cache } = await run(0, prefix, 1);
    try {
      continued.push((await run(prefix, length, rows, cache)).logits);
    } finally {
      for (const tensor of Object.values(cache)) tensor.dispose();
    }
  }
  return { whole, continued };
}

/**
 * Whether an edited decoder gives the logits of its file: to a ten thousandth of their spread, a hundredth in
 * half precision, and ten times closer than those of another sequence.
 */
function sameLogits(file: TrialLogits, edited: TrialLogits, half: boolean): boolean {
  const [one, other] = file.whole as [Float32Array, Float32Array];
  const spread =
    one.reduce((most, value) => Math.max(most, value), -Infinity) -
    one.reduce((least, value) => Math.min(least, value), Infinity);
  const most = Math.min((half ? 1e-2 : 1e-4) * spread, distance(one, other) / 10);
  return (['whole', 'continued'] as const).every((way) =>
    file[way].every((logits, i) => distance(logits, edited[way][i]) <= most),
  );
}

function distance(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (const [i, value] of a.entries()) {
    const apart = Math.abs(value - b[i]);
    if (!(apart <= worst)) worst = apart;
  }
  return worst;
}
