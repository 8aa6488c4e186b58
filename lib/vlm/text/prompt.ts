import { FsynError, invalidArgument } from '../../errors.js';
import { isWellFormed } from '../../schema.js';
import type { TextPlayerKind, TextPlayers } from '../types.js';
import type { ChatTemplate } from './chat.js';
import { labelOf, standsForText, type TokenisedText } from './labels.js';
import type { TextTokenizer } from './tokenizer.js';

/** How an architecture writes its prompt. */
export interface PromptStyle {
  /** What the chat template writes for an image. */
  readonly imagePlaceholder: string;
  /** The token that stands for one image feature. */
  readonly imageToken: string;
  /** Texts before and after the user's turn: only template tokens between them may be players. */
  readonly userAnchor: string;
  readonly assistantAnchor: string;
  /** A system turn's text, where the model card asks for one that its template does not add by itself. */
  readonly system?: string;
}

export interface PromptOptions {
  readonly includeInstruction: boolean;
  readonly includeTemplate: boolean;
  readonly instruction: string;
}

/** A tokenised prompt: every image feature has its own token. */
export interface TokenisedPrompt {
  /** As the chat template writes it, with one image placeholder. */
  readonly text: string;
  readonly ids: Int32Array;
  /** Positions of the image tokens, ascending. Shape [features]. */
  readonly imagePositions: Int32Array;
  readonly players: TextPlayers;
}

/**
 * Characters of question and instruction together. Tokenising so many takes two seconds, in which nothing
 * else happens.
 */
const longestQuestion = 2 ** 16;

/** Throws unless the question is text with something in it, of whole characters, and not endless. */
export function checkQuestion(question: string, instruction = ''): void {
  if (typeof question !== 'string' || question.trim() === '') {
    throw invalidArgument(
      'question',
      'a question with at least one character that is not white space',
      question,
    );
  }
  for (const [name, text] of Object.entries({ question, instruction }))
    if (!isWellFormed(text)) throw invalidArgument(name, 'a text without lone surrogates', text);
  const length = question.length + instruction.length;
  if (length > longestQuestion) {
    throw new FsynError(
      'CONTEXT_LENGTH',
      `Question and instruction have ${length} characters; at most ${longestQuestion} are read.`,
    );
  }
}

/**
 * Renders, expands and tokenises the prompt of a question and finds its text players.
 *
 * @param question the question; its tokens are players
 * @param image what the processor writes in the placeholder's place, and how many image features that stands
 *   for
 */
export function buildPrompt(
  tokenizer: TextTokenizer,
  template: ChatTemplate,
  style: PromptStyle,
  question: string,
  image: { readonly text: string; readonly features: number },
  options: PromptOptions,
): TokenisedPrompt {
  checkQuestion(question, options.instruction);
  if (question.includes(style.imageToken) || question.includes(style.imagePlaceholder)) {
    throw invalidArgument('question', `a question without the image token ${style.imageToken}`, question);
  }
  const rendered = template.render(question + options.instruction, style.system);
  const { text, shift, imageStart } = expandPlaceholder(rendered.text, rendered.userStart, style, image.text);
  const addSpecial = tokenizer.bosToken === undefined || !rendered.text.startsWith(tokenizer.bosToken);
  const { ids, spans } = tokenizer.encode(text, addSpecial);
  const { cut } = rendered;
  const questionStart = rendered.userStart + shift;
  const questionEnd = Math.min(questionStart + question.length - cut, rendered.userEnd + shift);
  const regions = {
    questionStart,
    questionEnd,
    userEnd: rendered.userEnd + shift,
    imageStart,
    imageEnd: imageStart + image.text.length,
    ...templateRegion(text, style, questionStart),
  };
  const imageId = tokenizer.tokenId(style.imageToken);
  const imagePositions = Array.from(ids.keys()).filter((i) => ids[i] === imageId);
  if (imagePositions.length !== image.features) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected ${image.features} image tokens ${style.imageToken} in the prompt but found ${imagePositions.length}.`,
    );
  }
  const players = findPlayers(tokenizer, { text, ids, spans }, regions, cut, options);
  return { text: rendered.text, ids, imagePositions: Int32Array.from(imagePositions), players };
}

function expandPlaceholder(
  text: string,
  userStart: number,
  style: PromptStyle,
  imageText: string,
): { text: string; shift: number; imageStart: number } {
  const at = text.indexOf(style.imagePlaceholder);
  if (at < 0 || text.indexOf(style.imagePlaceholder, at + 1) >= 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected the chat template to write ${style.imagePlaceholder} once for the image; it gave ${JSON.stringify(text)}.`,
    );
  }
  const end = at + style.imagePlaceholder.length;
  return {
    text: text.slice(0, at) + imageText + text.slice(end),
    shift: at < userStart ? imageText.length - style.imagePlaceholder.length : 0,
    imageStart: at,
  };
}

interface Regions {
  readonly questionStart: number;
  readonly questionEnd: number;
  readonly userEnd: number;
  readonly imageStart: number;
  readonly imageEnd: number;
  readonly turnStart: number;
  readonly turnEnd: number;
}

/** The user's turn between the role words; the whole prompt when a custom template has none. */
function templateRegion(
  text: string,
  style: PromptStyle,
  questionStart: number,
): { turnStart: number; turnEnd: number } {
  const user = text.lastIndexOf(style.userAnchor, questionStart - style.userAnchor.length);
  const assistant = text.lastIndexOf(style.assistantAnchor);
  return {
    turnStart: user < 0 ? 0 : user + style.userAnchor.length,
    turnEnd: assistant < questionStart ? text.length : assistant,
  };
}

function classify(start: number, end: number, regions: Regions): TextPlayerKind | undefined {
  // A token that holds a character of the question belongs to it, also when it reaches beyond ("?\n").
  if (start < regions.questionEnd && end > regions.questionStart) return 'question';
  if (start < regions.userEnd && end > regions.questionEnd) return 'instruction';
  if (start < regions.imageEnd && end > regions.imageStart) return undefined;
  // Tokens without text count where they stand; one that reaches into a role word is no player.
  return start >= regions.turnStart && end <= regions.turnEnd ? 'template' : undefined;
}

function findPlayers(
  tokenizer: TextTokenizer,
  found: TokenisedText,
  regions: Regions,
  cut: number,
  options: PromptOptions,
): TextPlayers {
  const { ids, spans } = found;
  const labels: string[] = [];
  const kinds: TextPlayerKind[] = [];
  const positions: number[] = [];
  const questionSpans: number[] = [];
  for (const [index, id] of ids.entries()) {
    const start = spans[index * 2];
    const end = spans[index * 2 + 1];
    if (!standsForText(tokenizer, id, start, end)) continue;
    const kind = classify(start, end, regions);
    if (kind === undefined) continue;
    if (kind === 'instruction' && !options.includeInstruction) continue;
    if (kind === 'template' && !options.includeTemplate) continue;
    labels.push(labelOf(tokenizer, found, index));
    kinds.push(kind);
    positions.push(index);
    if (kind === 'question') {
      const from = Math.max(start, regions.questionStart) - regions.questionStart + cut;
      questionSpans.push(from, Math.min(end, regions.questionEnd) - regions.questionStart + cut);
    } else {
      questionSpans.push(-1, -1);
    }
  }
  if (!kinds.includes('question')) {
    throw new FsynError('TOKENIZER', 'No token of the prompt belongs to the question.');
  }
  return {
    count: labels.length,
    labels,
    kinds,
    spans: Int32Array.from(questionSpans),
    positions: Int32Array.from(positions),
  };
}
