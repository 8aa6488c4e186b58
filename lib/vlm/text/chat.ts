import { Template } from '@huggingface/jinja';
import { describe, FsynError, reasonOf } from '../../errors.js';
import { withinTime } from '../../time-limit.js';
import { isObject, type JsonObject } from '../json.js';

/** Two characters of the private use area that no question holds and no template touches. */
const sentinel = '\u{F0F51}\u{F0F52}';

/** Seconds; published templates take milliseconds. */
const patience = 2;
/** Characters that a template may write, and numbers that it may count. */
const longestPrompt = 2 ** 20;
const longestRange = 2 ** 16;

/** Jinja's range, bounded: the library would make a list of any length. */
function range(...bounds: readonly number[]): number[] {
  const [start, stop] = bounds.length === 1 ? [0, bounds[0]] : bounds;
  const step = bounds[2] ?? 1;
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= longestRange)) throw new RangeError(`it counts to ${count}`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** A block at the start takes its line end with it, so what follows is read as if it were the first line. */
const bounded = '{% set range = bounded_range %}\n';

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
      this.#template = withinTime(
        patience,
        'Parsing the chat template',
        'TOKENIZER',
        () => new Template(bounded + source),
      );
    } catch (cause) {
      if (cause instanceof FsynError) throw cause;
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
    const items = { messages: turns, add_generation_prompt: true, bounded_range: range, ...this.#tokens };
    try {
      return withinTime(patience, 'Rendering the chat template', 'TOKENIZER', () => {
        const text = this.#template.render(items);
        if (text.length > longestPrompt) throw new RangeError(`it writes ${text.length} characters`);
        return text;
      });
    } catch (cause) {
      if (cause instanceof FsynError) throw cause;
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
