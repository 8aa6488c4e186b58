import { checkInteger } from '../../checks.js';
import { describe, FsynError } from '../../errors.js';
import { checkBudget, selectsRows } from '../../inference/pass-memory.js';
import { fellBack } from '../../inference/plan.js';
import { modelSizes } from '../../inference/sizes.js';
import { Once } from '../../lease.js';
import { resolveOptions } from '../../options.js';
import { findDecision } from '../answer/decision.js';
import type { ModelDirectory } from '../files/directory.js';
import { baselineImage } from '../images/baseline.js';
import { checkImage } from '../images/decode.js';
import { Fields, isObject, type JsonObject } from '../json.js';
import { type ResolvedPrepareOptions, resolvePrepareOptions } from '../options.js';
import { logSoftmax } from '../scoring.js';
import { buildPrompt, checkQuestion, type TokenisedPrompt } from '../text/prompt.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import type {
  Answer,
  CompleteOptions,
  Completion,
  PreparedSample,
  PrepareOptions,
  RgbImage,
  Vlm,
} from '../types.js';
import type { ImageEncoding } from './architecture.js';
import { Generator } from './generator.js';
import type { ImageFeatures } from './graphs.js';
import type { PreparedInputs, VlmParts } from './parts.js';
import { probeRemoval, type Removal } from './probe.js';
import { DecoderSample, sequenceEmbeds } from './sample.js';

/** What configuration files say about text, wherever they say it. */
interface TextSettings {
  readonly padTokenId: number;
  readonly stopTokens: ReadonlySet<number>;
  readonly repetitionPenalty: number;
  readonly contextLength: number | undefined;
  readonly vocabulary: number;
}

/** A vision-language model of three graphs: vision tower, token embedding, decoder with a key/value cache. */
export class DecoderVlm implements Vlm {
  readonly name: string;
  readonly architecture: string;
  readonly fingerprint: string;
  readonly #parts: VlmParts;
  readonly #text: TextSettings;
  readonly #generator: Generator;
  readonly #removal = new Once<Removal>();
  #disposed = false;

  constructor(parts: VlmParts, name: string, fingerprint: string) {
    this.name = name;
    this.architecture = parts.architecture.name;
    this.fingerprint = fingerprint;
    this.#parts = parts;
    this.#text = textSettings(parts.directory, parts.tokenizer);
    // With activations rounded to integers, a token depends on what is run with it: the cache is how the
    // model is used.
    this.#generator = new Generator(
      parts.decoder,
      parts.embed,
      fellBack(parts.fallbacks, 'activations-quantized'),
    );
  }

  async prepare(image: RgbImage, question: string, given?: PrepareOptions): Promise<PreparedSample> {
    if (this.#disposed) throw new FsynError('DISPOSED', `The model ${this.name} has been disposed.`);
    checkImage(image);
    const options = resolvePrepareOptions(given);
    checkQuestion(question, options.instruction);
    options.signal?.throwIfAborted();
    const { architecture, tokenizer, template, vision } = this.#parts;
    const encoding = await architecture.encode(image, options.signal);
    const prompt = buildPrompt(
      tokenizer,
      template,
      architecture.prompt,
      question,
      { text: encoding.promptText, features: encoding.featurePlayers.length },
      options,
    );
    this.#checkContext(prompt.ids.length + 1, 'the prompt and one answer token');
    this.#checkMemory(prompt, encoding);
    const absent = await baselineImage(image, options, options.signal);
    const baseline = await architecture.encode(absent, options.signal);
    const removal = options.textMasking === 'remove' ? await this.#findRemoval() : 'mask';
    const features = await vision.run(encoding, encoding.pixels, options.signal);
    const answer =
      options.answer === undefined
        ? await this.#generate(prompt, encoding, features, options)
        : this.#given(prompt, options.answer, options);
    this.#checkContext(prompt.ids.length + answer.tokenIds.length, 'the prompt and the answer');
    const inputs: PreparedInputs = {
      image,
      question,
      prompt,
      encoding,
      baselinePixels: baseline.pixels,
      answer,
      scored: options.answerTokens === 'all' ? answer.tokenIds.length : answer.decisionIndex + 1,
      padTokenId: this.#text.padTokenId,
      textMasking: options.textMasking,
      removal,
      fallbacks: this.#generator.fallbacks,
    };
    return new DecoderSample(this.#parts, inputs);
  }

  async complete(image: RgbImage, text: string, given?: Partial<CompleteOptions>): Promise<Completion> {
    if (this.#disposed) throw new FsynError('DISPOSED', `The model ${this.name} has been disposed.`);
    checkImage(image);
    const defaults: CompleteOptions = { prefill: '', maxNewTokens: 16, signal: undefined };
    const { prefill, maxNewTokens, signal } = resolveOptions('complete', defaults, given);
    checkInteger('maxNewTokens', maxNewTokens, 1);
    signal?.throwIfAborted();
    const { architecture, tokenizer, template, vision, embed } = this.#parts;
    const encoding = await architecture.encode(image, signal);
    const features = { text: encoding.promptText, features: encoding.featurePlayers.length };
    const options = resolvePrepareOptions(undefined);
    const prompt = buildPrompt(tokenizer, template, architecture.prompt, text, features, options);
    const begin = prefill === '' ? new Int32Array(0) : this.#continuation(prompt, prefill);
    const ids = Int32Array.from([...prompt.ids, ...begin]);
    this.#checkContext(ids.length + maxNewTokens, 'the prompt and the answer');
    const seen = await vision.run(encoding, encoding.pixels, signal);
    const tokens = await embed.run(ids, signal);
    const logProbabilities: Float32Array[] = [];
    const written = await this.#generator.answer(
      {
        ids,
        embeds: sequenceEmbeds(tokens.values, tokens.hidden, seen, prompt.imagePositions),
        positionsOf: (sequence) => architecture.positions(sequence, prompt.imagePositions, encoding),
      },
      { ...this.#text, maxNewTokens, onLogits: (logits) => logProbabilities.push(logSoftmax(logits)) },
      signal,
    );
    // A generation that was done again, without the cache, comes last.
    const steps = logProbabilities.slice(-written.length);
    const texts = tokenizer.pieces(written);
    const last = written.at(-1);
    return {
      tokens: Array.from(written, (id, i) => ({ id, text: texts[i], logProbabilities: steps[i] })),
      promptTokens: ids.length,
      imageTokens: prompt.imagePositions.length,
      stopped: last !== undefined && this.#text.stopTokens.has(last),
    };
  }

  tokenize(text: string): readonly number[] {
    return Array.from(this.#parts.tokenizer.encode(text, false).ids);
  }

  tokenText(id: number): string {
    return this.#parts.tokenizer.tokenText(id);
  }

  dispose(): void {
    this.#disposed = true;
    const { vision, embed, decoder, deviceCaches } = this.#parts;
    deviceCaches?.join.dispose();
    for (const { graph } of [vision, embed, decoder]) graph.session.dispose();
  }

  #checkContext(length: number, what: string): void {
    const limit = this.#text.contextLength;
    if (limit !== undefined && length > limit) {
      throw new FsynError(
        'CONTEXT_LENGTH',
        `The context of ${this.name} holds ${limit} tokens, but ${what} take ${length} (image tokens included).`,
      );
    }
  }

  /**
   * Refuses before any work what could not be scored later; a longer answer is checked when the cells are
   * planned.
   */
  #checkMemory(prompt: TokenisedPrompt, encoding: ImageEncoding): void {
    const { decoder, memory } = this.#parts;
    const { session, wiring } = { session: decoder.graph.session, wiring: decoder.wiring };
    const needs = {
      tokens: prompt.ids.length,
      prefixLength: wiring.caches.length === 0 ? 0 : Math.min(...prompt.players.positions),
      targets: 1,
      selectsRows: selectsRows(wiring),
      features: prompt.imagePositions.length,
      visionTokens: encoding.visionTokenPlayers.length,
      visionTiles: encoding.players.tiles,
      pixels: encoding.pixels.length,
      sizes: modelSizes({ decoder: session, wiring, targets: new Int32Array(1) }),
    };
    checkBudget(needs, memory);
  }

  /**
   * The probe runs once per model; a failed one is tried again, because it may have failed for want of
   * memory.
   */
  #findRemoval(): Promise<Removal> {
    const { decoder, embed } = this.#parts;
    return this.#removal.get(() => probeRemoval(decoder, embed, this.#text.vocabulary));
  }

  async #generate(
    prompt: TokenisedPrompt,
    encoding: ImageEncoding,
    features: ImageFeatures,
    options: ResolvedPrepareOptions,
  ): Promise<Answer> {
    const { architecture, embed } = this.#parts;
    const room = (this.#text.contextLength ?? Number.POSITIVE_INFINITY) - prompt.ids.length;
    const tokens = await embed.run(prompt.ids, options.signal);
    const ids = await this.#generator.answer(
      {
        ids: prompt.ids,
        embeds: sequenceEmbeds(tokens.values, tokens.hidden, features, prompt.imagePositions),
        positionsOf: (sequence) => architecture.positions(sequence, prompt.imagePositions, encoding),
      },
      { ...this.#text, maxNewTokens: Math.min(options.maxNewTokens, room) },
      options.signal,
    );
    return this.#answer(ids, options);
  }

  /**
   * A given answer continues the prompt as the tokenizer would write it; the prompt's own tokens must not
   * change.
   */
  #given(prompt: TokenisedPrompt, answer: string, options: ResolvedPrepareOptions): Answer {
    return this.#answer(this.#continuation(prompt, answer), options);
  }

  #continuation(prompt: TokenisedPrompt, answer: string): Int32Array {
    const separator = /\s$/.test(prompt.text) || /^\s/.test(answer) ? '' : ' ';
    return this.#parts.tokenizer.continuation(prompt.text, separator + answer);
  }

  #answer(ids: Int32Array, options: ResolvedPrepareOptions): Answer {
    const { tokenizer } = this.#parts;
    const tokens = tokenizer.pieces(ids);
    const spoken = tokens.map((text, i) => (tokenizer.isSpecial(ids[i]) ? '' : text));
    if (!spoken.some((text) => text.trim() !== '')) {
      throw new FsynError(
        'INFERENCE',
        `${this.name} answered with nothing but ${describe(tokens.join(''))}.`,
      );
    }
    const decision = findDecision(spoken, options.choices, options.decisionRule);
    return {
      text: tokenizer.decode(ids).trim(),
      tokenIds: ids,
      tokens,
      decisionIndex: decision.index,
      decisionKind: decision.kind,
      decisionToken: tokens[decision.index].trim(),
      decision: decision.text,
    };
  }
}

function textSettings(directory: ModelDirectory, tokenizer: TextTokenizer): TextSettings {
  const { config, generation } = directory;
  const nested = isObject(config.text_config) ? config.text_config : {};
  const first = (key: string, ...sources: readonly JsonObject[]): unknown =>
    sources.map((source) => source[key]).find((value) => value !== undefined && value !== null);
  const stops = tokenIds(first('eos_token_id', generation ?? {}, config, nested) ?? tokenizer.eosTokenId);
  // Old configurations write "no pad" as -1.
  const pad = [
    tokenizer.padTokenId,
    ...tokenIds(first('pad_token_id', config, nested, generation ?? {}), 'pad_token_id'),
    ...stops,
  ].find((id) => id !== undefined && id >= 0);
  if (pad === undefined) {
    throw new FsynError(
      'MODEL_CONTRACT',
      'Neither tokenizer_config.json nor config.json names a pad or end token.',
    );
  }
  const penalty = new Fields(generation ?? {}, 'generation_config.json').number('repetition_penalty', 1);
  if (penalty <= 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected a number > 0 for repetition_penalty in generation_config.json, but found ${penalty}.`,
    );
  }
  const limits = [first('max_position_embeddings', nested, config), tokenizer.maxLength];
  const known = limits.filter((limit): limit is number => Number.isInteger(limit));
  return {
    padTokenId: pad,
    stopTokens: new Set(stops),
    repetitionPenalty: penalty,
    contextLength: known.length === 0 ? undefined : Math.min(...known),
    vocabulary: tokenizer.vocabularySize,
  };
}

/**
 * One token id or a list of them, as configurations write it; a text that looks like one would end no answer.
 */
function tokenIds(value: unknown, key = 'eos_token_id'): number[] {
  if (value === undefined || value === null) return [];
  const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((id): id is number => Number.isSafeInteger(id))) return [...ids];
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected a token id or a list of them for ${key} in generation_config.json or config.json, but found ${JSON.stringify(value)}.`,
  );
}
