import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodePng } from '../../vlm/images/encode.js';
import type { Dataset, Sample } from '../types.js';

/** One line of `samples.jsonl`: a sample without its pixels, which lie in the PNG named by `image`. */
export interface SampleRecord extends Omit<Sample, 'image'> {
  /** Path of the image relative to the folder of the file. */
  readonly image: string;
}

/** Writes a dataset as `samples.jsonl` and `images/<id>.png` below `folder`, which is made where missing. */
export async function writeDataset(
  dataset: Dataset,
  folder: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await mkdir(join(folder, 'images'), { recursive: true });
  const lines: string[] = [];
  for await (const sample of dataset.samples()) {
    signal?.throwIfAborted();
    const image = `images/${sample.id}.png`;
    await writeFile(join(folder, image), await encodePng(await sample.image()));
    lines.push(`${JSON.stringify(recordOf(sample, image))}\n`);
  }
  await writeFile(join(folder, 'samples.jsonl'), lines.join(''));
}

function recordOf(sample: Sample, image: string): SampleRecord {
  const { id, question, instruction, answer, choices, family, grounding, truth } = sample;
  return { id, image, question, instruction, answer, choices, family, grounding, truth };
}
