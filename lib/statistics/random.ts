import { createHash } from 'node:crypto';
import { checkInteger } from '../checks.js';

/**
 * A seeded generator of 32-bit words (xoshiro128**, Blackman & Vigna 2018) with the draws that the benchmark
 * needs. The stream depends on the seed only, so every result that uses it can be reproduced.
 */
export class Random {
  readonly #state: Uint32Array;

  /** @param seed any safe integer >= 0 */
  constructor(seed: number) {
    checkInteger('seed', seed, 0);
    const digest = createHash('sha256').update(`fsyn-random:${seed}`).digest();
    this.#state = new Uint32Array(4);
    for (let i = 0; i < 4; i++) this.#state[i] = digest.readUInt32LE(4 * i);
  }

  /** Four words from which native code can go on with the same stream. */
  state(): Uint32Array {
    return this.#state.slice();
  }

  /** The next 32 random bits. */
  bits(): number {
    const s = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  /** Uniform on [0, 1) with 53 random bits. */
  uniform(): number {
    const high = this.bits() >>> 5;
    const low = this.bits() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Uniform integer on 0..bound-1, without modulo bias. */
  integer(bound: number): number {
    checkInteger('bound', bound, 1, 2 ** 32);
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const word = this.bits();
      if (word < limit) return word % bound;
    }
  }

  /** A uniform permutation of 0..length-1 (Fisher-Yates). */
  permutation(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swap = order[i];
      order[i] = order[j];
      order[j] = swap;
    }
    return order;
  }
}

function rotateLeft(word: number, count: number): number {
  return ((word << count) | (word >>> (32 - count))) >>> 0;
}

/** A seed in 0..2^48-1 that depends on every part and their order: for independent streams of one run. */
export function deriveSeed(...parts: readonly (string | number)[]): number {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest();
  return digest.readUIntLE(0, 6);
}
