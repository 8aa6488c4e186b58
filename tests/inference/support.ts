import { join } from 'node:path';
import type { TensorData } from '../../lib/addon/addon.js';
import type { TensorValue } from '../../lib/inference/session.js';
import { NativeTensor } from '../../lib/inference/tensor.js';

export const fixtures = join(import.meta.dirname, '..', 'fixtures', 'inference');

export const fixture = (name: string) => join(fixtures, `${name}.onnx`);

/** The values of an output, wherever they live. */
export function values(value: TensorValue | undefined): TensorData {
  if (value === undefined) throw new Error('the output is missing');
  return value instanceof NativeTensor ? value.toNdArray().data : value.data;
}
