// What the scripts of this folder keep doing while something ends: every kind of native job.
import { join } from 'node:path';
import ndarray from 'ndarray';
import { evaluate, explain, loadVlm, Session } from '../../dist/lib/index.js';
import { interactions, ValueTable } from '../../dist/lib/interactions/index.js';

const model = join(import.meta.dirname, '../../bench/models/llava-tiny/model');
const embedding = join(model, 'onnx/embed_tokens.onnx');
const picture = () => ndarray(new Uint8Array(64 * 64 * 3).fill(99), [64, 64, 3]);

/**
 * By kind: prepares, and gives a function that starts one piece of work and takes `onProgress` where the work
 * tells of it.
 */
export const works = {
  async loads() {
    return async () => (await Session.load(embedding)).dispose();
  },
  async runs() {
    const session = await Session.load(embedding);
    const tokens = ndarray(new BigInt64Array(2000).fill(1n), [1, 2000]);
    return () => session.run({ input_ids: tokens });
  },
  async interactions() {
    const game = ValueTable.from(new Float64Array(2 ** 16));
    return () => interactions(game, { index: 'SII', order: 2 });
  },
  async evaluations() {
    const vlm = await loadVlm(model);
    const sample = await vlm.prepare(picture(), 'Is there a red circle?');
    const attribution = await explain(sample, 'occlusion');
    return (onProgress) => evaluate(sample, [attribution], onProgress ? { onProgress } : {});
  },
  /** Everything on the way from a directory to scores, with sessions for gradients. */
  async explanations() {
    const vlm = await loadVlm(model, { threads: 2 });
    return async () => {
      const sample = await vlm.prepare(picture(), 'Is there a red circle?');
      return evaluate(sample, [await explain(sample, 'attn-lrp')]);
    };
  },
};
