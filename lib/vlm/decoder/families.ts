import { FsynError } from '../../errors.js';
import type { ModelDirectory } from '../files/directory.js';
import { Fields } from '../json.js';
import type { Architecture } from './architecture.js';
import { Idefics3 } from './architectures/idefics3.js';
import { InternVl } from './architectures/internvl.js';
import { Llava } from './architectures/llava.js';
import { QwenVl } from './architectures/qwen-vl.js';

export interface FamilyOptions {
  readonly maxPixels: number | undefined;
  readonly maxTiles: number | undefined;
}

/** Makes the architecture of a directory. */
export type Family = (
  directory: ModelDirectory,
  imageToken: string,
  visionInputs: readonly string[],
  options: FamilyOptions,
) => Architecture;

const qwen =
  (name: string): Family =>
  (directory, token, visionInputs, { maxPixels }) =>
    new QwenVl(directory, name, token, visionInputs, maxPixels);

const idefics =
  (name: string): Family =>
  (directory, token, visionInputs) =>
    new Idefics3(directory, name, token, visionInputs);

/** Families by config.json's model_type. Adding one is one file in architectures/ and one line here. */
const families: Readonly<Record<string, Family>> = {
  llava: (directory, token) => new Llava(directory, token),
  qwen2_vl: qwen('qwen2_vl'),
  qwen2_5_vl: qwen('qwen2_5_vl'),
  internvl: (directory, token, _, { maxTiles }) => new InternVl(directory, token, maxTiles),
  idefics3: idefics('idefics3'),
  smolvlm: idefics('smolvlm'),
};

/** @throws FsynError UNSUPPORTED_MODEL for a `model_type` that is in no table */
export function findFamily(directory: ModelDirectory, others: readonly string[]): Family {
  const type = new Fields(directory.config, 'config.json').string('model_type', '');
  if (Object.hasOwn(families, type)) return families[type];
  throw new FsynError(
    'UNSUPPORTED_MODEL',
    `Unknown model_type ${JSON.stringify(type)} in config.json; supported: ${[...Object.keys(families), ...others].join(', ')}.`,
  );
}
