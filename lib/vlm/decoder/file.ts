import { lstat } from 'node:fs/promises';
import { FsynError } from '../../errors.js';
import { Session, type SessionOptions } from '../../inference/session.js';
import { activationQuantizers } from '../../onnx/activations.js';
import { heedMask } from '../../onnx/decompose/heed.js';
import { selectRowsEarly } from '../../onnx/early-rows.js';
import { EXPORTED } from '../../onnx/exported.js';
import { selectLogits } from '../../onnx/head.js';
import { OnnxModel } from '../../onnx/model.js';
import { rowsInput } from './graph.js';

/** A decoder as it is run, and the names of inputs that its file does not have. */
export interface EditedDecoder {
  readonly model: OnnxModel;
  readonly added: readonly string[];
}

/**
 * A decoder of which only wanted rows of hidden states go through the output head, which is often a sixth of
 * the work and whose output is most of the memory, and through all of the last layer but its keys and values,
 * where the graph allows it: a prefix wants no row at all. Its attention heeds the whole mask and the
 * positions that it is given, where the file's own would overlook them. The file is not changed: the edited
 * graph reads its weights from it.
 */
export async function editDecoder(model: OnnxModel, signal?: AbortSignal): Promise<EditedDecoder> {
  const { embeddings: embeds, mask, positions } = EXPORTED;
  const edited = model.clone();
  const heeded = await heedMask(edited, { embeds, mask, positions }, signal);
  const { graph } = edited;
  const asked =
    graph.inputNames.includes(EXPORTED.keptLogits) || !graph.outputNames.includes(EXPORTED.logits);
  // Where a tensor has one scale, its rows decide about each other.
  if (asked || activationQuantizers(graph).length > 0) {
    return heeded === undefined ? { model, added: [] } : { model: edited, added: heeded };
  }
  selectLogits(edited, { rows: rowsInput });
  await selectRowsEarly(edited, rowsInput, signal);
  return { model: edited, added: [rowsInput, ...(heeded ?? [])] };
}

/** Loads a graph that was read from a file, edited or as it is there. */
export function loadGraph(model: OnnxModel, edited: OnnxModel, options: SessionOptions): Promise<Session> {
  if (edited === model) return loadFile(model.source, options);
  return Session.load(edited.serialize(), { ...options, externalDataFolder: model.folder! });
}

/**
 * Loads a graph as it is in its file. The runtime takes a link for what it is and looks for the weights
 * beside it; behind a link, as in the Hugging Face cache, they have other names, so the graph is read and
 * told them.
 */
export async function loadFile(path: string, options: SessionOptions): Promise<Session> {
  const link = await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
  if (!link) return Session.load(path, options);
  const model = await readGraph(path);
  return Session.load(model.serialize(), { ...options, externalDataFolder: model.folder! });
}

/** Reads a graph; its weights stay in the file. @throws FsynError MODEL_FILE naming the file */
export async function readGraph(path: string): Promise<OnnxModel> {
  try {
    return await OnnxModel.load(path);
  } catch (cause) {
    if (!(cause instanceof FsynError) || cause.message.includes(path)) throw cause;
    throw new FsynError(cause.code, `${path}: ${cause.message}`, { cause });
  }
}
