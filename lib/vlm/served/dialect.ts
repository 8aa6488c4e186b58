import type { ServerClient } from './client.js';

/** One step of an answer. Tokens are told by `token_id:N` where the server gives ids, else by their text. */
export interface ServedToken {
  readonly token: string;
  readonly text: string;
  readonly logProbability: number;
  /** Natural log-probabilities of other tokens at this place, as far as they came. */
  readonly others: ReadonlyMap<string, number>;
}

export interface ServedAnswer {
  readonly tokens: readonly ServedToken[];
  readonly promptTokens: number | undefined;
}

export interface ServedQuery {
  readonly png: Uint8Array;
  readonly text: string;
  /** The whole prompt with `{question}`, for servers that put no template around a text. */
  readonly template: string | undefined;
  /** The begun answer. */
  readonly prefill: string;
  readonly maxTokens: number;
  /** Tokens whose log-probabilities are wanted; the likeliest ones where there are none. */
  readonly wanted: readonly string[];
  /** Keeps what the server remembers of this query from other salts. */
  readonly salt: string;
  /** Shifts of logits, to see whether the server reports what comes before them. */
  readonly bias: Readonly<Record<string, number>>;
}

/** How one kind of server is asked. */
export interface Dialect {
  readonly name: string;
  /** Whether the log-probability of any token can be asked for; else only the likeliest come back. */
  readonly exact: boolean;
  /** Whether an answer can be begun for the server: always, where the prompt is a template of ours, never. */
  readonly prefills: boolean | 'template';
  /** What tells the server and its model apart from others; null where the server is of another kind. */
  identify(client: ServerClient, model: string, signal?: AbortSignal): Promise<string | null>;
  ask(client: ServerClient, model: string, query: ServedQuery, signal?: AbortSignal): Promise<ServedAnswer>;
}

export function dataUrl(png: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
}
