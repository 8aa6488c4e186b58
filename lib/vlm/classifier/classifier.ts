import { basename } from 'node:path';
import { FsynError, invalidArgument } from '../../errors.js';
import { defaultBudget } from '../../inference/evaluator.js';
import type { Session } from '../../inference/session.js';
import { activationQuantizers } from '../../onnx/activations.js';
import { OnnxModel } from '../../onnx/model.js';
import { refuseLfsPointer } from '../../text-file.js';
import { loadFile } from '../decoder/file.js';
import {
  type Graph,
  rejectUnknownInputs,
  requireInput,
  requireOutput,
  requireTensor,
} from '../files/contract.js';
import { fingerprintFiles } from '../files/directory.js';
import { baselineImage } from '../images/baseline.js';
import { checkImage } from '../images/decode.js';
import { normalisationTable, writePlanes } from '../images/normalise.js';
import { resizeImage } from '../images/resample.js';
import { readJsonObject } from '../json.js';
import { resolvePrepareOptions } from '../options.js';
import { argmaxRow } from '../scoring.js';
import { checkQuestion } from '../text/prompt.js';
import { TextTokenizer } from '../text/tokenizer.js';
import type {
  Answer,
  DecisionKind,
  ImagePlayers,
  PreparedSample,
  PrepareOptions,
  RgbImage,
  Vlm,
} from '../types.js';
import { type ClassifierImage, type ClassifierManifest, readManifest } from './manifest.js';
import { encodeQuestion } from './question.js';
import { ClassifierRun, ClassifierSample } from './sample.js';

/** A model of an image input, a question input and class logits, described by a manifest (docs/models.md). */
export class Classifier implements Vlm {
  readonly name: string;
  readonly architecture = 'classifier';
  readonly fingerprint: string;
  readonly #manifest: ClassifierManifest;
  readonly #run: ClassifierRun;
  readonly #tokenizer: TextTokenizer | undefined;
  readonly #session: Session;
  readonly #content: string;
  #disposed = false;

  private constructor(
    manifest: ClassifierManifest,
    graph: Graph,
    tokenizer: TextTokenizer | undefined,
    name: string,
    hash: string,
    providers: readonly string[],
    memory: number,
    quantizers: readonly string[],
  ) {
    this.name = name;
    this.fingerprint = hash;
    this.#manifest = manifest;
    this.#run = new ClassifierRun(graph, manifest, memory, quantizers);
    this.#tokenizer = tokenizer;
    this.#session = graph.session;
    this.#content = `${hash} on ${providers.join()}`;
  }

  /**
   * @throws FsynError MODEL_FILE, MODEL_CONTRACT (a key of the manifest, a tensor that the graph lacks),
   * TOKENIZER
   */
  static async load(
    path: string,
    options: {
      readonly name: string | undefined;
      readonly providers: readonly string[];
      readonly threads: number;
      readonly memory: number | undefined;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<Classifier> {
    const manifest = await readManifest(path);
    const { tokenizer: tokenizerPath } = manifest.question;
    const tokenizer =
      tokenizerPath === undefined
        ? undefined
        : new TextTokenizer(await readJsonObject(tokenizerPath, 'tokenizer'), {});
    const { name, providers, threads, memory, signal } = options;
    await refuseLfsPointer(manifest.model, { code: 'MODEL_FILE', what: 'the model file' });
    const session = await loadFile(manifest.model, { providers, threads, signal });
    try {
      const graph = { session, path: manifest.model };
      checkGraph(graph, manifest);
      const configuration = [manifest.path, ...(tokenizerPath === undefined ? [] : [tokenizerPath])];
      const hash = await fingerprintFiles(configuration, [manifest.model]);
      return new Classifier(
        manifest,
        graph,
        tokenizer,
        name ?? manifest.name ?? basename(path, '.json'),
        hash,
        providers,
        memory ?? defaultBudget(),
        activationQuantizers((await OnnxModel.load(manifest.model)).graph),
      );
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  get readableQuestion(): string | undefined {
    const words = this.#manifest.question.vocabulary?.keys();
    return words && [...words].slice(0, 4).join(' ');
  }

  async prepare(image: RgbImage, question: string, given?: PrepareOptions): Promise<PreparedSample> {
    if (this.#disposed) throw new FsynError('DISPOSED', `The model ${this.name} has been disposed.`);
    checkImage(image);
    const options = resolvePrepareOptions(given);
    checkQuestion(question, options.instruction);
    options.signal?.throwIfAborted();
    const { image: layout, question: text, answers } = this.#manifest;
    if (text.encoding === 'bag-of-words' && options.textMasking === 'attend') {
      throw invalidArgument(
        'textMasking',
        '"remove" for a bag of words, which has no pad',
        options.textMasking,
      );
    }
    const encoded = encodeQuestion(
      question,
      options.instruction,
      options.includeInstruction,
      text,
      this.#tokenizer,
    );
    const pixels = await encodePixels(image, layout, options.signal);
    const absent = await baselineImage(image, options, options.signal);
    const baseline = await encodePixels(absent, layout, options.signal);
    const everyone = new Uint8Array(encoded.players.count).fill(1);
    const logits = await this.#run.logits(
      [pixels],
      [{ encoded, present: everyone, masking: options.textMasking }],
      options.signal,
    );
    const index =
      options.answer === undefined ? argmaxRow(logits, answers.length, 0) : answers.indexOf(options.answer);
    if (index < 0) {
      throw invalidArgument(
        'answer',
        `one of the classifier's answers (${answers.join(', ')})`,
        options.answer,
      );
    }
    return new ClassifierSample(this.#run, {
      image,
      question,
      prompt: question + options.instruction,
      encoded,
      pixels,
      baselinePixels: baseline,
      pixelPlayers: gridPlayers(layout),
      imagePlayers: gridLayout(image, layout),
      masking: options.textMasking,
      modelContent: this.#content,
      answer: classAnswer(answers[index], index, options.choices),
    });
  }

  dispose(): void {
    this.#disposed = true;
    this.#session.dispose();
  }
}

function checkGraph(graph: Graph, manifest: ClassifierManifest): void {
  const { image, question, logits, answers } = manifest;
  const pixels = requireInput(graph, image.input);
  requireTensor(graph, pixels, 4, ['float32', 'float16']);
  const wanted = image.layout === 'NCHW' ? [3, image.height, image.width] : [image.height, image.width, 3];
  checkExtents(graph, pixels.name, pixels.shape.slice(1), wanted);
  const text = requireInput(graph, question.input);
  if (question.encoding === 'bag-of-words') {
    requireTensor(graph, text, 2, ['float32', 'float16']);
    const size = text.shape[1];
    const largest = Math.max(...(question.vocabulary?.values() ?? [0]));
    if (typeof size !== 'number' || largest >= size) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected a fixed number of words above ${largest} for ${JSON.stringify(text.name)} in ${JSON.stringify(graph.path)}; ` +
          `its shape is [${text.shape.join(', ')}].`,
      );
    }
  } else {
    requireTensor(graph, text, 2, ['int64', 'int32']);
    if (typeof text.shape[1] === 'number')
      checkExtents(graph, text.name, [text.shape[1]], [question.length ?? -1]);
    if (question.attentionInput !== undefined) requireInput(graph, question.attentionInput);
  }
  const known = [image.input, question.input, question.attentionInput];
  rejectUnknownInputs(graph, (name) => known.includes(name));
  const output = requireOutput(graph, logits);
  requireTensor(graph, output, 2, ['float32', 'float16']);
  checkExtents(graph, output.name, output.shape.slice(1), [answers.length]);
}

function checkExtents(
  graph: Graph,
  name: string,
  shape: readonly (number | string)[],
  wanted: readonly number[],
): void {
  const fits = shape.every((extent, i) => typeof extent !== 'number' || extent === wanted[i]);
  if (fits) return;
  throw new FsynError(
    'MODEL_CONTRACT',
    `The manifest describes extents [${wanted.join(', ')}] for ${JSON.stringify(name)}, but ` +
      `${JSON.stringify(graph.path)} has [${shape.join(', ')}].`,
  );
}

async function encodePixels(
  image: RgbImage,
  layout: ClassifierImage,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const resized = await resizeImage(image, layout.height, layout.width, layout.resample, signal);
  const table = normalisationTable(layout.normalisation);
  const values = new Float32Array(3 * layout.height * layout.width);
  if (layout.layout === 'NCHW') writePlanes(resized, table, values);
  else for (let i = 0; i < values.length; i++) values[i] = table[(i % 3) * 256 + resized.data[i]];
  return values;
}

/**
 * First pixel of a cell along an axis: cells differ by at most one pixel where the grid does not divide the
 * image.
 */
function edge(index: number, cells: number, extent: number): number {
  return Math.round((index * extent) / cells);
}

function cellOf(pixel: number, cells: number, extent: number): number {
  let cell = Math.min(cells - 1, Math.floor((pixel * cells) / extent));
  while (pixel < edge(cell, cells, extent)) cell--;
  while (pixel >= edge(cell + 1, cells, extent)) cell++;
  return cell;
}

function gridPlayers({ layout, height, width, rows, columns }: ClassifierImage): Int32Array {
  const players = new Int32Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const player = cellOf(y, rows, height) * columns + cellOf(x, columns, width);
      for (let c = 0; c < 3; c++) {
        const at = layout === 'NCHW' ? (c * height + y) * width + x : (y * width + x) * 3 + c;
        players[at] = player;
      }
    }
  }
  return players;
}

function gridLayout(image: RgbImage, { rows, columns, height, width }: ClassifierImage): ImagePlayers {
  const scaleX = image.shape[1] / width;
  const scaleY = image.shape[0] / height;
  const boxes = new Float64Array(rows * columns * 4);
  for (let i = 0; i < rows * columns; i++) {
    const row = Math.floor(i / columns);
    const column = i % columns;
    boxes[i * 4] = edge(column, columns, width) * scaleX;
    boxes[i * 4 + 1] = edge(row, rows, height) * scaleY;
    boxes[i * 4 + 2] = edge(column + 1, columns, width) * scaleX;
    boxes[i * 4 + 3] = edge(row + 1, rows, height) * scaleY;
  }
  return { count: rows * columns, rows, columns, tiles: 1, boxes };
}

/** A class as an answer of one token, whose id is the index of the class. */
function classAnswer(text: string, index: number, choices: readonly string[] | undefined): Answer {
  const kind: DecisionKind = choices?.includes(text)
    ? 'choice'
    : /^(yes|no)$/i.test(text)
      ? 'yes-no'
      : 'content';
  return {
    text,
    tokenIds: Int32Array.of(index),
    tokens: [text],
    decisionIndex: 0,
    decisionKind: kind,
    decisionToken: text,
    decision: text,
  };
}

/** Whether a path leads to a manifest rather than to a model directory. */
export function isManifestPath(path: string): boolean {
  if (typeof path !== 'string') throw invalidArgument('directory', 'a path', path);
  return path.endsWith('.json');
}
