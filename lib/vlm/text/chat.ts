import { Template } from '@huggingface/jinja';
import { describe, FsynError, reasonOf } from '../../errors.js';
import { isObject, type JsonObject } from '../json.js';

/** Two characters of the private use area that no question holds and no template touches. */
const sentinel = '\u{F0F51}\u{F0F52}';

export interface RenderedPrompt {
  readonly text: string;
  /** Half-open character range of the whole user text (question and instruction) in `text`. */
  readonly userStart: number;
  readonly userEnd: number;
  /** Characters that the template trimmed off the front of the user text. */
  readonly cut: number;
}

/** The chat template of a model directory. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;

  /**
   * @param source Jinja source
   * @param tokens what the template may use as `bos_token`, `eos_token`, `pad_token`, `unk_token`
   */
  constructor(source: string, tokens: Readonly<Record<string, string>>) {
    try {
      this.#template = new Template(source);
    } catch (cause) {
      const reason = reasonOf(cause);
      throw new FsynError('TOKENIZER', `Cannot parse the chat template: ${reason}.`, { cause });
    }
    this.#tokens = tokens;
  }

  /**
   * One user turn of an image followed by text, and the start of the assistant's turn.
   * The user's text is found by rendering the template around a sentinel first.
   *
   * @param system text of a system turn, or undefined for the template's own default
   * @throws FsynError TOKENIZER when the template drops or rewrites the text
   */
  render(userText: string, system: string | undefined): RenderedPrompt {
    const parts = this.#apply(sentinel, system).split(sentinel);
    if (parts.length !== 2) {
      throw new FsynError(
        'TOKENIZER',
        `Expected the chat template to show the user's text once, but it shows it ${parts.length - 1} times.`,
      );
    }
    const [before, after] = parts as [string, string];
    const text = this.#apply(userText, system);
    const userEnd = text.length - after.length;
    const shown = text.slice(before.length, userEnd);
    // A template may trim the text, at one end or both.
    const blanks = userText.length - userText.trimStart().length;
    for (let cut = 0; cut <= blanks && text === before + shown + after; cut++) {
      if (userText.startsWith(shown, cut) && userText.slice(cut + shown.length).trim() === '') {
        return { text, userStart: before.length, userEnd, cut };
      }
    }
    throw new FsynError(
      'TOKENIZER',
      "The chat template rewrites the user's text, so the question's tokens cannot be found.",
    );
  }

  #apply(userText: string, system: string | undefined): string {
    const turns: JsonObject[] = [
      {
        role: 'user',
        content: [{ type: 'image' }, { type: 'text', text: userText }],
      },
    ];
    if (system !== undefined) turns.unshift({ role: 'system', content: [{ type: 'text', text: system }] });
    try {
      return this.#template.render({ messages: turns, add_generation_prompt: true, ...this.#tokens });
    } catch (cause) {
      const reason = reasonOf(cause);
      throw new FsynError('TOKENIZER', `Cannot render the chat template: ${reason}.`, { cause });
    }
  }
}

/** Jinja reads every line end of a template as \n. */
const lineEnds = /\r\n?/g;

/**
 * The Jinja source of a model directory's chat template, from the places where the ecosystem keeps it,
 * newest first: chat_template.jinja, chat_template.json, processor_config.json, tokenizer_config.json.
 *
 * @returns undefined when none has one
 */
export function chatTemplateSource(
  jinja: string | undefined,
  ...configs: readonly (JsonObject | undefined)[]
): string | undefined {
  if (jinja !== undefined) return jinja.replace(lineEnds, '\n');
  for (const config of configs) {
    const value = config?.chat_template;
    if (value === undefined || value === null) continue;
    if (typeof value === 'string') return value.replace(lineEnds, '\n');
    const named = Array.isArray(value)
      ? value.find((entry) => isObject(entry) && entry.name === 'default')
      : value;
    if (isObject(named)) {
      const template = named.template ?? named.default;
      if (typeof template === 'string') return template.replace(lineEnds, '\n');
    }
    throw new FsynError('TOKENIZER', `Cannot use ${describe(value)} as chat_template.`);
  }
  return undefined;
}
