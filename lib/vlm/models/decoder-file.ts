import { FsynError } from '../../errors.js';
import { Session, type SessionOptions } from '../../inference/session.js';
import { selectLogits } from '../../onnx/head.js';
import { OnnxModel } from '../../onnx/model.js';
import { rowsInput } from './decoder.js';

/**
 * Loads a decoder so that only wanted rows of hidden states go through the output head, which is often a sixth of the
 * work and whose output is most of the memory. The file is not changed: the edited graph reads its weights from it.
 */
export async function loadDecoder(model: OnnxModel, options: SessionOptions): Promise<Session> {
  const { graph, source } = model;
  if (graph.inputNames.includes('num_logits_to_keep') || !graph.outputNames.includes('logits')) {
    return Session.load(source, options);
  }
  const edited = model.clone();
  selectLogits(edited, { rows: rowsInput });
  return Session.load(edited.serialize(), { ...options, externalDataFolder: model.folder! });
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
