import * as v from 'valibot';
import { describe, type ErrorCode, FsynError } from './errors.js';

/**
 * Schemas of what is read from outside. The message of every schema says what was expected ("a text");
 * `conform` makes the sentence that names place, field and what was found.
 */

/** Whether every surrogate of a text has its other half. */
export function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value);
}

/**
 * A text with something in it. Half of a character (a lone surrogate) is no text: no tokenizer and no file
 * can hold it.
 */
export const text = v.pipe(
  v.string('a text'),
  v.nonEmpty('a text that is not empty'),
  v.check(isWellFormed, 'a text without lone surrogates'),
);

/** A path as a file may name it. */
export const path = v.pipe(
  text,
  v.check((value) => !value.includes('\0'), 'a path without NUL'),
);

export const finite = v.pipe(v.number('a finite number'), v.finite('a finite number'));

/** An object with these fields; valibot's own takes lists for objects. */
export function object<E extends v.ObjectEntries>(entries: E, expected: string) {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  return v.pipe(v.custom<Record<string, unknown>>(isObject, expected), v.object(entries, expected));
}

/** A field that may be missing; `null` counts as missing, because data frames write it so. */
export function optional<S extends v.GenericSchema>(schema: S) {
  return v.pipe(
    v.nullish(schema),
    v.transform((value): v.InferOutput<S> | undefined => value ?? undefined),
  );
}

/**
 * The value as the schema has it: fields that it does not know are left out.
 *
 * @param where file and line, for the message
 * @throws FsynError of that code, naming place, field, what was expected and what was found
 */
export function conform<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  where: string,
  code: ErrorCode,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = (issue.path ?? []).map((item) => String(item.key)).join('.');
  if (issue.path?.at(-1)?.origin === 'key') throw new FsynError(code, `${where}: ${field} is missing.`);
  const found = issue.input === undefined ? 'nothing' : describe(issue.input);
  throw new FsynError(
    code,
    `${where}: expected ${issue.message}${field === '' ? '' : ` for ${field}`} but found ${found}.`,
  );
}
