import { FsynError } from '../errors.js';
import { inlineBranches } from './branches.js';
import { decompose, needsTypes } from './decompose/index.js';
import { toFloat32 } from './float32.js';
import { OnnxModel } from './model.js';
import { discoverTypes, type Feeds, madeUpFeeds, type TensorTypes } from './types.js';
import { requireEditableOpset } from './upgrade.js';

/**
 * Loads a model and brings it into the form that taps, edits and gradients work on: decided branches
 * inlined, half precision widened to float32, fused operators decomposed.
 *
 * @throws FsynError `MODEL_FILE`, `UNSUPPORTED_MODEL` (operator set too old), `UNSUPPORTED_OPERATOR`, naming
 *   the file
 */
export async function prepareModel(
  source: string | OnnxModel,
  probe?: Feeds,
  signal?: AbortSignal,
): Promise<OnnxModel> {
  const model = typeof source === 'string' ? await OnnxModel.load(source) : source.clone();
  requireEditableOpset(model);
  inlineBranches(model);
  toFloat32(model);
  const types = needsTypes(model) ? await typesOf(model, probe, signal) : undefined;
  try {
    decompose(model, types);
  } catch (cause) {
    if (!(cause instanceof FsynError) || cause.message.includes(model.source)) throw cause;
    throw new FsynError(cause.code, `${model.source}: ${cause.message}`, { cause });
  }
  return model;
}

/**
 * Types by inference and one small run: of made-up inputs where none are given, or without it where it fails.
 */
async function typesOf(
  model: OnnxModel,
  probe: Feeds | undefined,
  signal?: AbortSignal,
): Promise<TensorTypes> {
  if (probe) return discoverTypes(model, probe, signal);
  try {
    return await discoverTypes(model, madeUpFeeds(model.graph), signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof FsynError)) throw error;
    return discoverTypes(model, undefined, signal);
  }
}
