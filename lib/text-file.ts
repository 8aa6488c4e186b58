import { constants } from 'node:buffer';
import { readFile, stat } from 'node:fs/promises';
import { type ErrorCode, FsynError, reasonOf } from './errors.js';

/** What a file is for, in messages, and the code of its errors. */
export interface FileRole {
  readonly code: ErrorCode;
  readonly what: string;
}

const lfsMark = 'version https://git-lfs.github.com/spec/';
/** A pointer has three short lines. */
const lfsPointerLimit = 1024;
/** Containers deeper than this are nobody's data, and walking them overflows the stack. */
const deepest = 512;

/**
 * Reads a regular file whole. Devices and pipes, which may never end, are refused unread; so is a Git LFS
 * pointer.
 *
 * @param limit most bytes
 * @throws FsynError with the role's code, naming the file; the system's reason is the cause
 */
export async function readRegularFile(
  path: string,
  role: FileRole,
  limit = 2 ** 31 - 1,
): Promise<Uint8Array> {
  const named = `${role.what} ${JSON.stringify(path)}`;
  let bytes: Uint8Array;
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new Error(`it is ${found.isDirectory() ? 'a folder' : 'a device or a pipe'}`);
    if (found.size > limit) throw new Error(`it has ${found.size} bytes, more than ${limit}`);
    bytes = await readFile(path);
  } catch (cause) {
    throw new FsynError(role.code, `Cannot read ${named}: ${reasonOf(cause)}.`, { cause });
  }
  if (isLfsPointer(bytes)) throw lfsError(named, role.code);
  return bytes;
}

/** Whether these are the three lines that Git leaves in the place of a large file that was not fetched. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  if (bytes.length > lfsPointerLimit || bytes.length < lfsMark.length) return false;
  return Buffer.from(bytes.subarray(0, lfsMark.length)).toString('latin1') === lfsMark;
}

/**
 * Refuses a Git LFS pointer in the place of a file that others read. A file that is missing is theirs to
 * name.
 */
export async function refuseLfsPointer(path: string, role: FileRole): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === true && found.size <= lfsPointerLimit) await readRegularFile(path, role);
}

/** @param named the file's role and path */
export function lfsError(named: string, code: ErrorCode): FsynError {
  return new FsynError(
    code,
    `${named} is a Git LFS pointer, not the file itself; fetch the file with \`git lfs pull\`.`,
  );
}

/** Reads a text file as decodeText reads bytes. */
export async function readTextFile(path: string, role: FileRole): Promise<string> {
  return decodeText(await readRegularFile(path, role, constants.MAX_STRING_LENGTH), path, role);
}

/**
 * UTF-8 as text. A byte order mark is no content; bytes that are no UTF-8 are refused, never replaced.
 *
 * @throws FsynError with the role's code, naming the line of the first wrong byte
 */
export function decodeText(bytes: Uint8Array, path: string, { code, what }: FileRole): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    const where = utf16 ? 'it looks like UTF-16' : `line ${lineOfWrongByte(bytes)} has other bytes`;
    throw new FsynError(code, `${what} ${JSON.stringify(path)} is not UTF-8: ${where}.`, { cause });
  }
}

/** The text before the first replacement character decodes to itself, so its line ends can be counted. */
function lineOfWrongByte(bytes: Uint8Array): number {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  const encoder = new TextEncoder();
  let offset = 0;
  let line = 1;
  for (const character of text) {
    const encoded = encoder.encode(character);
    if (encoded.some((byte, i) => bytes[offset + i] !== byte)) return line;
    offset += encoded.length;
    if (character === '\n') line++;
  }
  return line;
}

/**
 * Parses JSON of bounded depth.
 *
 * @param where what messages call the text
 */
export function parseJson(text: string, where: string, code: ErrorCode): unknown {
  if (exceedsDepth(text))
    throw new FsynError(code, `${where} nests arrays or objects deeper than ${deepest}.`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FsynError(code, `${where} is not valid JSON (truncated?): ${reasonOf(cause)}.`, { cause });
  }
}

function exceedsDepth(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 0x22) {
      i = endOfString(text, i);
      if (i < 0) return false;
    } else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > deepest) return true;
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
  return false;
}

/** Index of the quote that ends the string that starts at `from`; -1 where none does. */
function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return end;
  }
  return -1;
}

/** The lines of a JSON Lines text that are not blank, with their numbers from 1. */
export function* jsonLines(text: string): Generator<{ readonly line: string; readonly number: number }> {
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() !== '') yield { line, number: i + 1 };
  }
}
