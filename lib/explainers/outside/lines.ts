import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/**
 * Hands over the lines of a stream, the last one also where no newline ends it. Of a line that is longer than
 * `longest` characters only so many are kept, and handed over as soon as there are more: a stream without
 * newlines would fill the memory.
 */
export function readLines(
  stream: Readable,
  longest: number,
  onLine: (line: string, whole: boolean) => void,
): void {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  let length = 0;
  let skipping = false;
  const finish = () => {
    if (!skipping && length > 0) onLine(parts.join('').replace(/\r$/u, ''), true);
    parts = [];
    length = 0;
    skipping = false;
  };
  const add = (text: string) => {
    if (skipping) return;
    parts.push(text.slice(0, longest + 1 - length));
    length += text.length;
    if (length <= longest) return;
    onLine(parts.join('').slice(0, longest), false);
    parts = [];
    skipping = true;
  };
  stream.on('data', (chunk: Buffer) => {
    const [first, ...others] = decoder.write(chunk).split('\n');
    add(first);
    for (const text of others) {
      finish();
      add(text);
    }
  });
  stream.on('end', () => {
    add(decoder.end());
    finish();
  });
  // The end of the process says what there is to say.
  stream.on('error', () => {});
}
