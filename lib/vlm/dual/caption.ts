import { FsynError, invalidArgument } from '../../errors.js';
import { labelOf, standsForText } from '../text/labels.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import type { TextPlayerKind, TextPlayers } from '../types.js';
import type { EncodedCaption } from './towers.js';

/** How a family writes a caption. */
export interface CaptionStyle {
  /** The longest sequence that the text tower has positions for, its own special tokens included. */
  readonly length: number;
  /** Whether captions are filled up to that length with attended pads, as SigLIP was trained. */
  readonly padded: boolean;
  readonly padTokenId: number;
}

/** A tokenised caption with its players: every token of the text, never the ones that the tokenizer adds. */
export interface Caption extends EncodedCaption {
  readonly players: TextPlayers;
}

/**
 * Tokenises caption and instruction as the family's processor does and finds the players.
 *
 * @param fixed number of tokens that the graph insists on, where it does
 * @throws FsynError CONTEXT_LENGTH for more tokens than there are positions, TOKENIZER for a caption without
 *   tokens
 */
export function encodeCaption(
  tokenizer: TextTokenizer,
  style: CaptionStyle,
  caption: string,
  instruction: string,
  includeInstruction: boolean,
  fixed?: number,
): Caption {
  // Both families drop white space in front; the tokenizer must not take it for a word mark.
  const text = (caption + instruction).trimStart();
  const cut = caption.length + instruction.length - text.length;
  const { ids, spans } = tokenizer.encode(text, true);
  const most = Math.min(style.length, fixed ?? style.length);
  if (ids.length > most) {
    throw new FsynError(
      'CONTEXT_LENGTH',
      `The text tower takes ${most} tokens but the caption has ${ids.length}, its special tokens included.`,
    );
  }
  const length = fixed ?? (style.padded ? style.length : ids.length);
  const padded = new Int32Array(length).fill(style.padTokenId);
  padded.set(ids);
  const attention = new Int32Array(length).fill(1, 0, style.padded ? length : ids.length);
  const labels: string[] = [];
  const kinds: TextPlayerKind[] = [];
  const positions: number[] = [];
  const questionSpans: number[] = [];
  for (const [position, id] of ids.entries()) {
    const [start, end] = [spans[position * 2] + cut, spans[position * 2 + 1] + cut];
    if (!standsForText(tokenizer, id, start, end)) {
      refuseWritten(tokenizer, id, text);
      continue;
    }
    if (end <= start) continue;
    const kind = start < caption.length ? 'question' : 'instruction';
    if (kind === 'instruction' && !includeInstruction) continue;
    labels.push(labelOf(tokenizer, { text, ids, spans }, position));
    kinds.push(kind);
    positions.push(position);
    questionSpans.push(...(kind === 'question' ? [start, Math.min(end, caption.length)] : [-1, -1]));
  }
  if (!kinds.includes('question')) {
    throw new FsynError('TOKENIZER', 'No token of the caption belongs to its text.');
  }
  const players: TextPlayers = {
    count: labels.length,
    labels,
    kinds,
    spans: Int32Array.from(questionSpans),
    positions: Int32Array.from(positions),
  };
  return { ids: padded, attention, players };
}

/** A caption that spells a control token would move the place at which its embedding is read. */
function refuseWritten(tokenizer: TextTokenizer, id: number, text: string): void {
  const token = tokenizer.tokenString(id);
  if (text.includes(token)) throw invalidArgument('question', `a caption without ${token}`, text);
}

/**
 * The caption of a text state. `remove` takes absent players out of attention and leaves their ids, which
 * nothing then reads: CLIP's pad is its end token, and a second one would move the place at which the
 * embedding is read. `attend` puts pads in their places. Positions never change.
 */
export function maskCaption(
  { ids, attention, players }: Caption,
  present: Uint8Array,
  padTokenId: number,
  masking: 'remove' | 'attend',
): EncodedCaption {
  const masked = { ids: ids.slice(), attention: attention.slice() };
  for (const [player, position] of players.positions.entries()) {
    if (present[player] !== 0) continue;
    if (masking === 'remove') masked.attention[position] = 0;
    else masked.ids[position] = padTokenId;
  }
  return masked;
}
