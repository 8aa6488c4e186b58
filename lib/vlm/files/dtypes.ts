import { checkOneOf } from '../../checks.js';
import { invalidArgument } from '../../errors.js';

/** The graphs that a vision-language model is split into; the last three are those of dual encoders. */
const modelParts = [
  'vision_encoder',
  'embed_tokens',
  'decoder_model_merged',
  'model',
  'vision_model',
  'text_model',
] as const;
export type ModelPart = (typeof modelParts)[number];

/** Number formats of published exports, in the order in which `auto` looks for them. */
export const dtypes = [
  'fp32',
  'fp16',
  'q4f16',
  'q4',
  'bnb4',
  'quantized',
  'int8',
  'uint8',
  'q2f16',
  'q2',
] as const;
export type Dtype = (typeof dtypes)[number];

/**
 * What may be asked for: a number format, transformers.js' name for `quantized`, or the first format that is
 * there.
 */
export type DtypeName = Dtype | 'q8' | 'auto';

/** What the file names of a number format end with. */
export const suffixes: Readonly<Record<Dtype, string>> = {
  fp32: '',
  fp16: '_fp16',
  q4f16: '_q4f16',
  q4: '_q4',
  bnb4: '_bnb4',
  quantized: '_quantized',
  int8: '_int8',
  uint8: '_uint8',
  q2f16: '_q2f16',
  q2: '_q2',
};

/** One number format for all parts, or one per part; `auto` takes the first that is there. */
export type DtypeChoice = DtypeName | Readonly<Partial<Record<ModelPart, DtypeName>>>;

const names = ['auto', ...dtypes, 'q8'] as const;

/** The number format that is wanted for a part. */
export function dtypeOf(part: ModelPart, choice: DtypeChoice): Dtype | 'auto' {
  const name = typeof choice === 'string' ? choice : (choice[part] ?? 'auto');
  return name === 'q8' ? 'quantized' : name;
}

/** @throws FsynError INVALID_ARGUMENT for a format or a part that there is not */
export function checkDtype(choice: DtypeChoice): void {
  if (typeof choice === 'string') {
    checkOneOf('dtype', choice, names);
    return;
  }
  for (const [part, name] of Object.entries(choice)) {
    if (!(modelParts as readonly string[]).includes(part))
      throw invalidArgument('dtype', `parts of ${modelParts.join(', ')}`, part);
    checkOneOf(`dtype.${part}`, name, names);
  }
}

/**
 * A choice as the command line writes it: `q4`, or `vision_encoder=fp16,decoder_model_merged=q4`.
 *
 * @throws FsynError INVALID_ARGUMENT
 */
export function parseDtype(text: string): DtypeChoice {
  const entries = text.split(',').map((item) => item.split('='));
  const choice = (text.includes('=') ? perPart(text, entries) : text) as DtypeChoice;
  checkDtype(choice);
  return choice;
}

function perPart(text: string, entries: readonly string[][]): Record<string, string> {
  const parts = entries.map(([part]) => part);
  if (entries.some((entry) => entry.length !== 2) || new Set(parts).size !== parts.length) {
    throw invalidArgument('dtype', 'one number format, or PART=FORMAT,PART=FORMAT with each part once', text);
  }
  return Object.fromEntries(entries);
}
