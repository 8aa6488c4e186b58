import { FsynError, invalidArgument } from './errors.js';

/** Limits of a number; those left out do not limit it (every comparison with undefined is false). */
interface Range {
  readonly least?: number;
  readonly most?: number;
  /** Limits that are themselves outside. */
  readonly above?: number;
  readonly below?: number;
}

/** @throws FsynError `INVALID_ARGUMENT` unless the value is an integer in the range, both ends included */
export function checkInteger(parameter: string, value: number, least?: number, most?: number): void {
  if (!Number.isSafeInteger(value) || value < least! || value > most!)
    throw invalidArgument(parameter, `an integer${wording({ least, most })}`, value);
}

/** @throws FsynError `INVALID_ARGUMENT` unless the value is a finite number in the range */
export function checkNumber(parameter: string, value: number, range: Range = {}): void {
  const { least, most, above, below } = range;
  const outside = value < least! || value > most! || value <= above! || value >= below!;
  if (!Number.isFinite(value) || outside)
    throw invalidArgument(parameter, `a finite number${wording(range)}`, value);
}

/** Memory: undefined leaves the choice to fsyn. @throws FsynError `INVALID_ARGUMENT` */
export function checkBytes(parameter: string, value: number | undefined): void {
  if (value !== undefined && !(Number.isFinite(value) && value > 0))
    throw invalidArgument(parameter, 'a number of bytes > 0', value);
}

/** @throws FsynError `INVALID_ARGUMENT` unless the value is one of the choices */
export function checkOneOf(parameter: string, value: unknown, choices: readonly string[]): void {
  if (!choices.includes(value as string))
    throw invalidArgument(parameter, `one of ${choices.join(', ')}`, value);
}

/** @throws FsynError `INVALID_ARGUMENT` for a view of memory that can change its length while it is used */
export function checkFixedLength(parameter: string, values: ArrayBufferView): void {
  const { resizable, growable } = values.buffer as { resizable?: boolean; growable?: boolean };
  if (resizable || growable) {
    const received = `a ${values.constructor.name} over a buffer that can be resized`;
    throw new FsynError(
      'INVALID_ARGUMENT',
      `Expected memory of a fixed length for ${parameter} but received ${received}.`,
    );
  }
}

/** ` from 1 to 12`, ` >= 1`, ` > 0 and <= 1`: the same range always reads the same. */
function wording({ least, most, above, below }: Range): string {
  if (least !== undefined && most !== undefined) return ` from ${least} to ${most}`;
  const limits = [
    ...(above === undefined ? [] : [`> ${above}`]),
    ...(least === undefined ? [] : [`>= ${least}`]),
    ...(below === undefined ? [] : [`< ${below}`]),
    ...(most === undefined ? [] : [`<= ${most}`]),
  ];
  return limits.length === 0 ? '' : ` ${limits.join(' and ')}`;
}
