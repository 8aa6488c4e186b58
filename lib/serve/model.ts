import { createHash } from 'node:crypto';
import ndarray from 'ndarray';
import { Random } from '../statistics/random.js';
import { decodeImage } from '../vlm/images/decode.js';
import { resizeImage } from '../vlm/images/resample.js';
import { loadSharp } from '../vlm/images/sharp.js';
import type { CompletedToken, Completion, RgbImage, Vlm } from '../vlm/types.js';
import type { ServerFaults } from './faults.js';

/** What every dialect asks for in its own words. */
export interface ServedRequest {
  /** Bytes of the picture's file. */
  readonly image: Uint8Array;
  readonly text: string;
  readonly prefill: string;
  readonly maxTokens: number;
  /** Added to the logits of tokens before one is chosen. */
  readonly bias: ReadonlyMap<number, number>;
  /** Requests with other salts never share what is remembered. */
  readonly salt: string;
  readonly signal: AbortSignal;
}

/** Completions kept by picture and text, as servers keep prefixes. */
const rememberedAtMost = 512;

/**
 * A model behind a server: one request at a time in the runtime, equal ones answered from memory, faults on
 * request.
 */
export class ServedModel {
  readonly vlm: Vlm;
  readonly #faults: ServerFaults;
  readonly #known = new Map<string, Promise<Completion>>();
  readonly #random = new Random(0);
  #last: Promise<unknown> = Promise.resolve();

  constructor(vlm: Vlm, faults: ServerFaults) {
    this.vlm = vlm;
    this.#faults = faults;
  }

  async complete(request: ServedRequest): Promise<Completion> {
    const picture = await this.#see(await decodeImage(request.image));
    const key = JSON.stringify([
      this.#hash(picture),
      request.text,
      request.prefill,
      request.maxTokens,
      request.salt,
    ]);
    let found = this.#known.get(key);
    if (found === undefined) {
      found = this.#inTurn(() => this.#run(picture, request));
      this.#known.set(key, found);
      found.catch(() => this.#known.delete(key));
      for (const oldest of this.#known.keys()) {
        if (this.#known.size <= rememberedAtMost) break;
        this.#known.delete(oldest);
      }
    }
    return this.#report(await found, request);
  }

  #run(picture: RgbImage, { text, prefill, maxTokens, signal }: ServedRequest): Promise<Completion> {
    const complete = this.vlm.complete?.bind(this.vlm);
    if (complete === undefined) throw new Error(`${this.vlm.name} writes no answers.`);
    return complete(picture, text, { prefill, maxNewTokens: maxTokens, signal });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  #hash({ data, shape }: RgbImage): string {
    const digest = createHash('sha256').update(shape.join('x')).update(data).digest();
    const { hashBits } = this.#faults;
    return hashBits === 0 ? digest.toString('hex') : String(digest.readUInt32BE() >>> (32 - hashBits));
  }

  /** The picture as the model gets it. */
  async #see(picture: RgbImage): Promise<RgbImage> {
    const { blind, resize, jpeg } = this.#faults;
    const [height, width] = picture.shape as [number, number, number];
    if (blind) return ndarray(new Uint8Array(picture.data.length).fill(128), [height, width, 3]);
    if (resize) return resizeImage(picture, Math.ceil(height / 2), Math.ceil(width / 2), 'bicubic');
    if (!jpeg) return picture;
    const sharp = await loadSharp();
    const raw = { raw: { width, height, channels: 3 as const } };
    return decodeImage(
      await sharp(picture.data, raw).jpeg({ quality: 90, chromaSubsampling: '4:2:0' }).toBuffer(),
    );
  }

  /** Box and Muller 1958. */
  #normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random.uniform()));
    return radius * Math.cos(2 * Math.PI * this.#random.uniform());
  }

  /** Noise is in the logits: what is reported sums to one all the same. */
  #shaken({ logProbabilities }: CompletedToken): Float32Array {
    const shaken = Float64Array.from(
      logProbabilities,
      (value) => value + this.#faults.noise * this.#normal(),
    );
    const largest = Math.max(...shaken);
    const total = shaken.reduce((sum, value) => sum + Math.exp(value - largest), 0);
    return Float32Array.from(shaken, (value) => value - largest - Math.log(total));
  }

  #report(completion: Completion, { bias }: ServedRequest): Completion {
    const { noise, processed } = this.#faults;
    if (noise === 0 && !(processed && bias.size > 0)) return completion;
    const tokens = completion.tokens.map((token) => {
      const logProbabilities = noise === 0 ? token.logProbabilities.slice() : this.#shaken(token);
      if (processed) for (const [id, shift] of bias) logProbabilities[id] += shift;
      return { ...token, logProbabilities };
    });
    return { ...completion, tokens };
  }
}
