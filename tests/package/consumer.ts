import { type Attribution, decodeImage, evaluate, explain, FsynError, loadVlm } from 'fsyn';
import * as bench from 'fsyn/bench';
import * as interactions from 'fsyn/interactions';
import * as onnx from 'fsyn/onnx';

export async function faithfulness(folder: string, picture: string, signal: AbortSignal): Promise<number> {
  const model = await loadVlm(folder, { threads: 1 });
  try {
    const sample = await model.prepare(await decodeImage(picture), 'Is there a dog?');
    const attribution: Attribution = await explain(sample, 'occlusion', { signal });
    const [{ synergy }] = await evaluate(sample, [attribution], { signal });
    return synergy.raw.mean;
  } catch (error) {
    if (error instanceof FsynError) throw new Error(error.code, { cause: error });
    throw error;
  } finally {
    model.dispose();
  }
}

// @ts-expect-error a folder is a string
export const wrong: Promise<unknown> = loadVlm(7);
export const modules: readonly object[] = [bench, interactions, onnx];
