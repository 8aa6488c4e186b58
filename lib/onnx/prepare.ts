import { inlineBranches } from './branches.js';
import { decompose, needsTypes } from './decompose/index.js';
import { toFloat32 } from './float32.js';
import { OnnxModel } from './model.js';
import { discoverTypes, type Feeds } from './types.js';
import { requireEditableOpset } from './upgrade.js';

/**
 * Loads a model and brings it into the form that taps, edits and gradients work on: decided branches
 * inlined, half precision widened to float32, fused operators decomposed.
 *
 * @throws FsynError `MODEL_FILE`, `UNSUPPORTED_MODEL` (operator set too old), `UNSUPPORTED_OPERATOR`
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
  decompose(model, needsTypes(model) ? await discoverTypes(model, probe, signal) : undefined);
  return model;
}
