import { lstat } from 'node:fs/promises';
import { FsynError } from '../../errors.js';
import { Session, type SessionOptions } from '../../inference/session.js';
import { activationQuantizers } from '../../onnx/activations.js';
import { selectRowsEarly } from '../../onnx/early-rows.js';
import { EXPORTED } from '../../onnx/exported.js';
import { selectLogits } from '../../onnx/head.js';
import { OnnxModel } from '../../onnx/model.js';
import { rowsInput } from './graph.js';

/**
 * A decoder of which only wanted rows of hidden states go through the output head, which is often a sixth of the work and
 * whose output is most of the memory, and through all of the last layer but its keys and values, where the graph allows it:
 * a prefix wants no row at all. The file is not changed: the edited graph reads its weights from it.
 */
export async function editDecoder(model: OnnxModel, signal?: AbortSignal): Promise<OnnxModel> {
  const { graph } = model;
  // Where a tensor has one scale, its rows decide about each other.
  if (activationQuantizers(graph).length > 0) return model;
  if (graph.inputNames.includes(EXPORTED.keptLogits) || !graph.outputNames.includes(EXPORTED.logits))
    return model;
  const edited = model.clone();
  selectLogits(edited, { rows: rowsInput });
  await selectRowsEarly(edited, rowsInput, signal);
  return edited;
}

/** Loads a graph that was read from a file, edited or as it is there. */
export function loadGraph(model: OnnxModel, edited: OnnxModel, options: SessionOptions): Promise<Session> {
  if (edited === model) return loadFile(model.source, options);
  return Session.load(edited.serialize(), { ...options, externalDataFolder: model.folder! });
}

/**
 * Loads a graph as it is in its file. The runtime takes a link for what it is and looks for the weights beside it; behind a
 * link, as in the Hugging Face cache, they have other names, so the graph is read and told them.
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
