import { FsynError } from '../../errors.js';
import { withinTime } from '../../time-limit.js';
import { labelOf, standsForText } from '../text/labels.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import type { TextPlayerKind, TextPlayers } from '../types.js';
import type { ClassifierQuestion } from './manifest.js';

/** A question as a classifier reads it. */
export interface EncodedQuestion {
  /** Index of every token in question order; for a bag of words the order does not matter to the model. */
  readonly ids: Int32Array;
  readonly players: TextPlayers;
}

/** Seconds; patterns of words take milliseconds. */
const patience = 2;

interface Word {
  readonly label: string;
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

function words(text: string, question: ClassifierQuestion): Word[] {
  const found: Word[] = [];
  const matches = withinTime(patience, 'Finding words by the pattern of the manifest', 'TOKENIZER', () => [
    ...text.matchAll(question.pattern),
  ]);
  for (const match of matches) {
    const spelling = question.lowercase ? match[0].toLowerCase() : match[0];
    const known = question.vocabulary?.get(spelling);
    if (known === undefined && question.unknown === 'skip') continue;
    const id = known ?? question.unknown;
    if (typeof id !== 'number') {
      throw new FsynError(
        'TOKENIZER',
        `The word ${JSON.stringify(match[0])} is not in the classifier's vocabulary; set "unknown" in the manifest to allow it.`,
      );
    }
    found.push({ label: match[0], id, start: match.index, end: match.index + match[0].length });
  }
  return found;
}

function tokens(text: string, question: ClassifierQuestion, tokenizer: TextTokenizer): Word[] {
  const input = question.lowercase ? text.toLowerCase() : text;
  if (input.length !== text.length) {
    throw new FsynError(
      'TOKENIZER',
      'Lower case changes the length of the question; set "lowercase" to false.',
    );
  }
  const { ids, spans } = tokenizer.encode(input, true);
  return Array.from(ids, (id, i) => {
    const [start, end] = [spans[i * 2], spans[i * 2 + 1]];
    const label = standsForText(tokenizer, id, start, end) ? labelOf(tokenizer, { text, ids, spans }, i) : '';
    return { label, id, start, end };
  });
}

/**
 * Splits question and instruction into the classifier's tokens and finds the players.
 *
 * @throws FsynError TOKENIZER for unknown words or a question without any, CONTEXT_LENGTH for too many
 */
export function encodeQuestion(
  text: string,
  instruction: string,
  includeInstruction: boolean,
  question: ClassifierQuestion,
  tokenizer: TextTokenizer | undefined,
): EncodedQuestion {
  const whole = text + instruction;
  const all = tokenizer === undefined ? words(whole, question) : tokens(whole, question, tokenizer);
  if (question.length !== undefined && all.length > question.length) {
    throw new FsynError(
      'CONTEXT_LENGTH',
      `The classifier takes ${question.length} tokens but the question has ${all.length}.`,
    );
  }
  const positions = Array.from(all.keys()).filter((i) => {
    const { start, end } = all[i];
    return end > start && (start < text.length || includeInstruction);
  });
  if (!positions.some((i) => all[i].start < text.length)) {
    throw new FsynError(
      'TOKENIZER',
      `No word of the question ${JSON.stringify(text)} is in the classifier's vocabulary.`,
    );
  }
  const kinds = positions.map(
    (i): TextPlayerKind => (all[i].start < text.length ? 'question' : 'instruction'),
  );
  return {
    ids: Int32Array.from(all, ({ id }) => id),
    players: {
      count: positions.length,
      labels: positions.map((i) => all[i].label),
      kinds,
      spans: Int32Array.from(
        positions.flatMap((i, p) =>
          kinds[p] === 'question' ? [all[i].start, Math.min(all[i].end, text.length)] : [-1, -1],
        ),
      ),
      positions: Int32Array.from(positions),
    },
  };
}
