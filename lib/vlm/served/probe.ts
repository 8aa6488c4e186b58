import { setMaxListeners } from 'node:events';
import ndarray from 'ndarray';
import { Random } from '../../statistics/random.js';
import { encodePng } from '../images/encode.js';
import type { RgbImage } from '../types.js';
import type { ServerClient } from './client.js';
import type { Dialect, ServedAnswer } from './dialect.js';
import { maskedPicture, type ServedPicture } from './players.js';

/** What is probed: a model behind a server, and the pictures that it is sent. */
export interface Probed {
  readonly client: ServerClient;
  readonly dialect: Dialect;
  readonly model: string;
  /** Pixels that one visual token covers along a side. */
  readonly multiple: number;
  readonly template: string | undefined;
  picture(image: RgbImage, signal?: AbortSignal): Promise<ServedPicture>;
}

/** What a probe of a server found. */
export interface ProbeResult {
  readonly name: ProbeName;
  readonly passed: boolean;
  readonly says: string;
  /** Standard deviation of a log-probability between repetitions, in nats, where that was probed. */
  readonly noise?: number;
}

export type ProbeName = 'picture' | 'raw' | 'repeat' | 'collision' | 'tokens';

/** Largest deviation of repeated requests, in nats: F_syn of a sample then moves by some thousandths. */
const mostNoise = 0.05;
const repeats = 8;
const states = 16;
const question = 'What is in the picture? Answer with one word.';

/**
 * Asks a server what would make F_syn wrong in silence, with about sixty requests: does the picture reach the
 * model, are log-probabilities the model's own, does the same request get the same answer at the run's
 * concurrency, are pictures that differ in one part told apart by what the server remembers, and does every
 * picture take as many tokens.
 */
export async function* probeServer(
  served: Probed,
  given: AbortSignal | undefined,
): AsyncGenerator<ProbeResult> {
  // Every request in the queue listens: to a signal of our own, because the caller's may warn.
  const signal = given && AbortSignal.any([given]);
  if (signal) setMaxListeners(0, signal);
  const { client, dialect, model, template } = served;
  const picture = await served.picture(noisePicture(), signal);
  const plain = await served.picture(flatPicture(), signal);
  const ask = async (
    image: RgbImage,
    more: { wanted?: readonly string[]; salt?: string; bias?: Readonly<Record<string, number>> } = {},
  ): Promise<ServedAnswer> => {
    const query = {
      text: question,
      template,
      prefill: '',
      maxTokens: 1,
      wanted: [],
      salt: '',
      bias: {},
      ...more,
    };
    return dialect.ask(client, model, { png: await encodePng(image), ...query }, signal);
  };
  const first = await ask(picture.image);
  const [{ token, logProbability }] = first.tokens;
  const wanted = [token];
  // Lists of the likeliest tokens may end above a token that has become unlikely: it is below the least.
  const score = ({ tokens: [{ others }] }: ServedAnswer, of = token) =>
    others.get(of) ?? Math.min(...others.values());
  const apart = (a: number, b: number) => Math.abs(a - b);

  const other = score(await ask(plain.image, { wanted }));
  yield {
    name: 'picture',
    passed: apart(other, logProbability) > 1e-6,
    says: 'The same answer as likely for two different pictures: the picture does not reach the model.',
  };

  if (/^token_id:\d+$/u.test(token)) {
    const biased = await ask(picture.image, { wanted, bias: { [token.replace('token_id:', '')]: -100 } });
    yield {
      name: 'raw',
      passed: apart(score(biased), logProbability) < 1,
      says: "A bias on a token changes its log-probability: the server reports processed ones, not the model's own.",
    };
  }

  // A token that is all but certain hardly moves, whatever the noise: the one behind it is looked at, too.
  const [next = token] = [...first.tokens[0].others.entries()]
    .filter(([other]) => other !== token)
    .sort(([, a], [, b]) => b - a)
    .map(([other]) => other);
  const both = [...new Set([token, next])];
  const again = await Promise.all(
    Array.from({ length: repeats }, (_, i) => ask(picture.image, { wanted: both, salt: `repeat ${i}` })),
  );
  const sigma = Math.max(...both.map((each) => deviation(again.map((answer) => score(answer, each)))));
  yield {
    name: 'repeat',
    passed: sigma <= mostNoise,
    noise: sigma,
    says: `The same request repeated gives log-probabilities with a deviation of ${sigma.toFixed(3)} nats.`,
  };

  // Pictures that differ in one part each, as those of a run do.
  const masked = Array.from({ length: states }, (_, i) => {
    const present = new Uint8Array(picture.players.count).fill(1);
    present[i % present.length] = 0;
    if (i >= present.length) present[(i + 1 + Math.floor(i / present.length)) % present.length] = 0;
    return maskedPicture(picture, plain.image, present);
  });
  const remembered = await Promise.all(masked.map((image) => ask(image, { wanted })));
  const salted = await Promise.all(masked.map((image, i) => ask(image, { wanted, salt: `state ${i}` })));
  const worst = Math.max(...remembered.map((answer, i) => apart(score(answer), score(salted[i]))));
  yield {
    name: 'collision',
    passed: worst <= Math.max(1e-3, 6 * sigma),
    says: `Pictures that differ in one part get each other's answers: up to ${worst.toFixed(3)} nats beside what a cache of their own gives.`,
  };

  const counts = new Set([first, ...remembered].map(({ promptTokens }) => promptTokens));
  const side = picture.image.shape[0] / served.multiple;
  const visual = side * (picture.image.shape[1] / served.multiple);
  const fewest = Math.min(...[...counts].map((count) => count ?? Number.POSITIVE_INFINITY));
  yield {
    name: 'tokens',
    passed: counts.size === 1 && fewest >= visual,
    says:
      counts.size > 1
        ? 'Masked pictures take other numbers of tokens: the server resizes them.'
        : `The prompt has ${fewest} tokens, fewer than the ${visual} of the picture: the server makes it smaller.`,
  };
}

function deviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

function noisePicture(): RgbImage {
  const random = new Random(0);
  const [height, width] = [224, 224];
  const data = new Uint8Array(height * width * 3);
  // Blocks of 16 pixels: what is finer is lost where the picture is made smaller for the model.
  const block = Uint8Array.from({ length: 14 * 14 * 3 }, () => random.integer(256));
  for (let i = 0; i < data.length; i++) {
    const [y, x] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width];
    data[i] = block[(Math.floor(y / 16) * 14 + Math.floor(x / 16)) * 3 + (i % 3)];
  }
  return ndarray(data, [height, width, 3]);
}

function flatPicture(): RgbImage {
  return ndarray(new Uint8Array(224 * 224 * 3).fill(127), [224, 224, 3]);
}
