import * as v from 'valibot';
import { FsynError } from '../../errors.js';
import { conform, finite, object, optional } from '../../schema.js';
import type { ServerClient } from './client.js';
import type { ServedToken } from './dialect.js';

const scored = { token: v.string('a text'), logprob: optional(finite) };
const tokenList = v.array(
  object({ ...scored, top_logprobs: optional(v.array(object(scored, 'an object'), 'a list')) }, 'an object'),
  'a list',
);

/** vLLM writes -9999 for what it does not know. */
const unknownBelow = -9000;
/** A rounded log-probability of 1 may lie above 0, by so little. */
const rounding = 1e-3;

/**
 * Tokens with log-probabilities as OpenAI writes them, and others after it. Numbers that stand for none are
 * left out; where the written token has none, or a number is no log-probability, the answer is refused.
 */
export function readTokens(client: ServerClient, value: unknown): ServedToken[] {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) {
    throw new FsynError(
      'SERVER',
      `${client.origin} gave no log-probabilities; without them there is no F_syn.`,
    );
  }
  const list = conform(tokenList, value, `Log-probabilities of ${client.origin}`, 'SERVER');
  return list.map(({ token, logprob, top_logprobs = [] }) => {
    const others = new Map<string, number>();
    for (const each of [...top_logprobs, { token, logprob }]) {
      if (each.logprob === undefined || each.logprob < unknownBelow) continue;
      others.set(each.token, checked(client, each.logprob));
    }
    const own = others.get(token);
    if (own === undefined)
      throw new FsynError(
        'SERVER',
        `${client.origin} gave no log-probability of the token ${JSON.stringify(token)} that it wrote.`,
      );
    return { token, text: token, logProbability: own, others };
  });
}

function checked(client: ServerClient, value: number): number {
  if (value <= rounding) return value;
  throw new FsynError(
    'SERVER',
    `${client.origin} gave ${value} as a log-probability, which is not above 0: it gives logits or probabilities.`,
  );
}

/** A model that thinks aloud first decides nothing with its first token. */
export function refuseThoughts(client: ServerClient, model: string, thoughts: unknown): void {
  if (typeof thoughts !== 'string' || thoughts.trim() === '') return;
  throw new FsynError(
    'SERVER',
    `${model} at ${client.origin} thinks before it answers; switch that off at the server, or the first token decides nothing.`,
  );
}

/** How answers of models that think aloud begin. */
export const thoughtBegin = /^\s*(?:<think|<thought|<reason|<\|channel|\[THINK\]|◁think)/iu;
