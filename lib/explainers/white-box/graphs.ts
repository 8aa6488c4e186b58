import type { TensorValue } from '../../inference/session.js';
import { toNdArray } from '../../inference/tensor.js';
import { selectRowsEarly } from '../../onnx/early-rows.js';
import { EXPORTED } from '../../onnx/exported.js';
import { type DifferentiableOptions, type OnnxModel, SplitModel, selectLogits } from '../../onnx/index.js';
import { ROWS } from '../../onnx/plan.js';
import { prepareModel } from '../../onnx/prepare.js';
import type { WhiteBox } from '../../vlm/types.js';
import { concatenated } from './batch.js';
import type { ChainInputs } from './inputs.js';
import { JoinedChain } from './joined.js';
import type { PassRequest } from './request.js';
import type { ChainOptions } from './results.js';
import type { ModelSessions } from './sessions.js';

type GraphOptions = Omit<DifferentiableOptions, 'selectLogits' | 'probe'>;

/** Works with vision graph and decoder in one session; undefined where they do not go into one file. */
export function withJoined<R>(
  sessions: ModelSessions,
  { inputs, options, features }: PassRequest,
  work: (joined: JoinedChain) => Promise<R>,
): Promise<R | undefined> {
  const seen = features ? undefined : visionOptions(inputs.whiteBox, options);
  const read = decoderOptions(options);
  const load = async () => {
    const probe = visionProbes(inputs);
    const vision = seen && { source: inputs.whiteBox.visionModel, options: { ...seen, probe } };
    const decoder = { source: await decoderSource(inputs.whiteBox, options), options: read };
    const made = await JoinedChain.load(decoder, vision);
    return { made, dispose: () => made?.dispose() };
  };
  return sessions.use(keyOf('joined', seen, read), load, async ({ made }) => made && work(made));
}

export function withVision<R>(
  sessions: ModelSessions,
  { inputs, options }: PassRequest,
  work: (vision: SplitModel) => Promise<R>,
): Promise<R> {
  const seen = visionOptions(inputs.whiteBox, options);
  const load = () =>
    SplitModel.load(inputs.whiteBox.visionModel, { ...seen, probe: visionProbes(inputs), share: 0.5 });
  return sessions.use(keyOf('vision', seen), load, work);
}

export function withDecoder<R>(
  sessions: ModelSessions,
  { inputs, options }: PassRequest,
  work: (decoder: SplitModel) => Promise<R>,
): Promise<R> {
  const read = decoderOptions(options);
  const load = async () => SplitModel.load(await decoderSource(inputs.whiteBox, options), read);
  return sessions.use(keyOf('decoder', read), load, work);
}

function keyOf(...parts: readonly (string | GraphOptions | undefined)[]): string {
  return JSON.stringify(parts);
}

function visionOptions({ featureOutput, pixelInput }: WhiteBox, options: ChainOptions): GraphOptions {
  const { mode = 'grad', attentionMaps = false, visionTensors = [], visionGamma } = options;
  return {
    output: featureOutput,
    wrt: [pixelInput, ...visionTensors],
    expose: visionTensors,
    mode,
    attentions: attentionMaps,
    ...(visionGamma ? { gamma: visionGamma } : {}),
  };
}

/**
 * A batch of two where the export takes one, because sizes above 1 are unambiguous; else the sample's own
 * inputs.
 */
function visionProbes(inputs: ChainInputs): Record<string, TensorValue>[] {
  const own = inputs.visionFeeds();
  const [batch, ...rest] = inputs.pixelShape;
  if (batch !== 1 || rest.length !== 3) return [own];
  const single = inputs.pixels();
  const pair = toNdArray(concatenated([single, single]), [2, ...rest]);
  return [{ ...own, [inputs.whiteBox.pixelInput]: pair }, own];
}

function decoderOptions(options: ChainOptions): GraphOptions {
  const { mode = 'grad', attentionMaps = false, decoderTensors = [] } = options;
  const wrt = [EXPORTED.embeddings, ...decoderTensors];
  return { output: EXPORTED.logits, wrt, expose: decoderTensors, mode, attentions: attentionMaps };
}

/**
 * The decoder that computes the last position's logits, and of the last layer no other position where none is
 * asked for.
 */
async function decoderSource({ decoderModel }: WhiteBox, options: ChainOptions): Promise<OnnxModel> {
  const { decoderTensors = [] } = options;
  const model = await prepareModel(decoderModel);
  selectLogits(model, { rows: ROWS });
  const early = model.clone();
  await selectRowsEarly(early, ROWS);
  return decoderTensors.every((name) => early.graph.has(name)) ? early : model;
}
