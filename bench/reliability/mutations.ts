import { Random } from '../../lib/statistics/random.js';

/** Draws that every mutation is made of; the same number always gives the same ones. */
export class Draws {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** An integer from 0 to below `end`. */
  below(end: number): number {
    return this.#random.integer(end);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

/** Some bytes changed, copied, put in, or the end cut off. */
export function mutateBytes(seed: Uint8Array, draws: Draws): Uint8Array {
  let bytes = Uint8Array.from(seed);
  const times = 1 + draws.below(draws.of([3, 30]));
  for (let i = 0; i < times && bytes.length > 0; i++) {
    const at = draws.below(bytes.length);
    const kind = draws.below(6);
    if (kind === 0) bytes[at] ^= 1 << draws.below(8);
    else if (kind === 1) bytes[at] = draws.below(256);
    else if (kind === 2) bytes[at] = draws.of([0, 0xff, 0x7f, 0x80]);
    else if (kind === 3) bytes.copyWithin(at, draws.below(bytes.length), at + 1 + draws.below(64));
    else if (kind === 4) {
      const put = Uint8Array.from({ length: 1 + draws.below(16) }, () => draws.below(256));
      bytes = Uint8Array.from([...bytes.subarray(0, at), ...put, ...bytes.subarray(at)]);
    } else if (i === 0) bytes = bytes.slice(0, at);
  }
  return bytes;
}

/** What files of strangers hold where something else was meant. */
const odd: readonly unknown[] = [
  null,
  true,
  '',
  '2',
  '\ud800',
  '__proto__',
  '../../etc/passwd',
  '((\\S+|\\s+)+)+#',
  0,
  -1,
  1.5,
  3,
  64,
  1e8,
  1e12,
  1e308,
  2 ** 31,
  2 ** 32,
  [],
  {},
  [null],
  [[1, 2], [3]],
  ['a', 'a'],
  { type: 'Sequence' },
];

/** Some values of a JSON tree replaced, keys left out, doubled or renamed. */
export function mutateJson(seed: unknown, draws: Draws): unknown {
  const tree = structuredClone(seed);
  const times = 1 + draws.below(3);
  for (let i = 0; i < times; i++) mutateOnce(tree, draws);
  return tree;
}

function mutateOnce(tree: unknown, draws: Draws): void {
  let node = tree as Record<string, unknown>;
  for (let depth = 0; depth < 12; depth++) {
    const keys = Object.keys(node);
    if (keys.length === 0) return;
    const key = draws.of(keys);
    const value = node[key];
    if (typeof value === 'object' && value !== null && draws.below(4) > 0) {
      node = value as Record<string, unknown>;
      continue;
    }
    const kind = draws.below(8);
    if (kind === 0) delete node[key];
    else if (kind === 1) node[draws.of(keys)] = value;
    else if (kind === 2) node[`${key}x`] = value;
    else node[key] = structuredClone(draws.of(odd));
    return;
  }
}
