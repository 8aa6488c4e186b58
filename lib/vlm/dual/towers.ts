import { FsynError } from '../../errors.js';
import { Session, type SessionOptions } from '../../inference/session.js';
import type { TensorArray } from '../../inference/tensor.js';
import { activationQuantizers } from '../../onnx/activations.js';
import { EXPORTED } from '../../onnx/exported.js';
import type { OnnxModel } from '../../onnx/model.js';
import { readGraph } from '../decoder/file.js';
import { type Graph, rejectUnknownInputs, requireInput, requireOutput } from '../files/contract.js';
import { type MatrixCosts, matrixCosts } from '../files/costs.js';
import { findPart, listModels } from '../files/directory.js';
import type { DtypeChoice, ModelPart } from '../files/dtypes.js';
import { floatFeed, floatValues, integerFeed } from '../files/feeds.js';
import { RowBatches } from '../row-trial.js';

/** A caption as the text tower reads it; all of a batch have the same length. */
export interface EncodedCaption {
  readonly ids: Int32Array;
  /** 1 where attended; ignored by towers without such an input. */
  readonly attention: Int32Array;
}

/** What a similarity is worth to the model: logit = scale * cosine + bias. */
export interface SimilarityHead {
  readonly scale: number;
  readonly bias: number;
}

/** One side of a dual encoder: an input in, one embedding per row out. */
class Tower {
  readonly graph: Graph;
  readonly costs: MatrixCosts;
  /** How many rows may share a run. */
  readonly batches: RowBatches;
  readonly #output: string;

  /**
   * @param known inputs that are fed, the first of them required
   * @param outputs names of the embedding, in order of preference
   */
  constructor(
    graph: Graph,
    { graph: file }: OnnxModel,
    known: readonly string[],
    outputs: readonly string[],
  ) {
    this.graph = graph;
    this.costs = matrixCosts(file);
    requireInput(graph, known[0]);
    rejectUnknownInputs(graph, (name) => known.includes(name));
    const present = graph.session.outputs.map(({ name }) => name);
    const output = outputs.find((name) => present.includes(name));
    if (output === undefined) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected an output ${outputs.join(' or ')} in ${JSON.stringify(graph.path)}; it has: ${present.join(', ')}.`,
      );
    }
    this.#output = output;
    const { elementType } = requireOutput(graph, output);
    const side = known[0] === imageInput ? 'image' : 'text';
    this.batches = new RowBatches(side, elementType === 'float16', activationQuantizers(file));
  }

  takes(input: string): boolean {
    return this.graph.session.inputs.some(({ name }) => name === input);
  }

  /** The fixed extent of an input's axis, or undefined where it is open. */
  extent(input: string, axis: number): number | undefined {
    const extent = requireInput(this.graph, input).shape[axis];
    return typeof extent === 'number' ? extent : undefined;
  }

  floatFeed(input: string, values: Float32Array, shape: readonly number[]): TensorArray {
    return floatFeed(requireInput(this.graph, input), values, shape);
  }

  integerFeed(input: string, values: Int32Array, shape: readonly number[]): TensorArray {
    return integerFeed(requireInput(this.graph, input), values, shape);
  }

  /**
   * Embeddings of length 1, one per row of the feeds. Lengths are taken in double precision, also where the
   * graph has normalised before.
   *
   * @throws FsynError INFERENCE when an embedding is not finite or zero
   */
  async embed(
    feeds: Record<string, TensorArray>,
    rows: number,
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const results = await this.graph.session.run(feeds, {
      outputs: [this.#output],
      signal,
    });
    const { values, shape } = floatValues(this.#output, results[this.#output]);
    if (shape.length !== 2 || shape[0] !== rows) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected ${rows} embeddings from ${JSON.stringify(this.graph.path)}, but ${this.#output} has shape [${shape.join(', ')}].`,
      );
    }
    const width = shape[1];
    return Array.from({ length: rows }, (_, row) => unit(values.subarray(row * width, (row + 1) * width)));
  }
}

function unit(values: Float32Array): Float32Array {
  let squares = 0;
  for (const value of values) squares += value * value;
  const length = Math.sqrt(squares);
  if (!(length > 0 && Number.isFinite(length))) {
    throw new FsynError('INFERENCE', 'The model gave an embedding that is not finite or has no length.');
  }
  return values.map((value) => value / length);
}

/** The two sides of a dual encoder, each runnable alone. */
export interface Towers {
  readonly image: Tower;
  readonly text: Tower;
  /** Absent where the files hold the towers only. */
  readonly head: SimilarityHead | undefined;
  readonly paths: readonly string[];
}

const imageInput = EXPORTED.pixels;
const textInputs: readonly string[] = [EXPORTED.tokens, EXPORTED.mask];
const embeddings = { image: 'image_embeds', text: 'text_embeds' };

/**
 * Opens the towers of a model directory: cut out of `model.onnx`, which computes both and their similarity at
 * once, or `vision_model.onnx` and `text_model.onnx` where it is not there. The file is not changed.
 *
 * @param probe any caption of that many tokens, tried to learn the embeddings' width
 * @param pooled whether the pooled output of a tower is its embedding (SigLIP), so that exports may name it
 *   so
 * @throws FsynError MODEL_FILE when neither layout is there, MODEL_CONTRACT when a tensor is missing or the
 *   sides are not apart
 */
export async function loadTowers(
  directory: string,
  probe: (length: number | undefined) => EncodedCaption,
  pooled: boolean,
  options: SessionOptions & { readonly dtype: DtypeChoice },
): Promise<Towers> {
  const { dtype, ...sessionOptions } = options;
  const merged = await findPart(directory, 'model', dtype);
  const parts = await Promise.all(
    (['vision_model', 'text_model'] as const).map((part) => findPart(directory, part, dtype)),
  );
  const open: Session[] = [];
  const tower = async (model: OnnxModel, path: string, known: readonly string[], output: string) => {
    const session = await loadEdited(model, sessionOptions);
    open.push(session);
    const outputs = pooled ? [output, 'pooler_output'] : [output];
    return new Tower({ session, path }, model, known, outputs);
  };
  try {
    if (merged !== undefined) {
      const { path } = merged;
      const whole = await readGraph(path);
      for (const name of [...Object.values(embeddings), 'logits_per_image']) requireOutputOf(whole, name);
      const cut = (output: string, known: readonly string[]) =>
        tower(partOf(whole, output, known), path, known, output);
      const image = await cut(embeddings.image, [imageInput]);
      const text = await cut(embeddings.text, textInputs);
      const [{ length: width }] = (await text.embed(
        captionFeeds(text, [probe(text.extent(textInputs[0], 1))]),
        1,
      )) as [Float32Array];
      return { image, text, head: await measureHead(whole, width, sessionOptions), paths: [path] };
    }
    const [vision, text] = parts;
    if (vision === undefined || text === undefined) throw await nothingFound(directory, dtype);
    return {
      image: await tower(await readGraph(vision.path), vision.path, [imageInput], embeddings.image),
      text: await tower(await readGraph(text.path), text.path, textInputs, embeddings.text),
      head: undefined,
      paths: [vision.path, text.path],
    };
  } catch (error) {
    for (const session of open) session.dispose();
    throw error;
  }
}

/** The inputs of the text tower for some captions. */
export function captionFeeds(text: Tower, captions: readonly EncodedCaption[]): Record<string, TensorArray> {
  const length = (captions[0] as EncodedCaption).ids.length;
  const shape = [captions.length, length];
  const join = (rows: readonly Int32Array[]) => {
    const joined = new Int32Array(rows.length * length);
    for (const [row, values] of rows.entries()) joined.set(values, row * length);
    return joined;
  };
  const ids = join(captions.map((caption) => caption.ids));
  const feeds = { [EXPORTED.tokens]: text.integerFeed(EXPORTED.tokens, ids, shape) };
  if (!text.takes(EXPORTED.mask)) return feeds;
  const attention = join(captions.map((caption) => caption.attention));
  return { ...feeds, [EXPORTED.mask]: text.integerFeed(EXPORTED.mask, attention, shape) };
}

function loadEdited(model: OnnxModel, options: SessionOptions): Promise<Session> {
  const folder = model.folder === undefined ? {} : { externalDataFolder: model.folder };
  return Session.load(model.serialize(), { ...options, ...folder });
}

async function nothingFound(directory: string, dtype: DtypeChoice): Promise<FsynError> {
  const present = await listModels(directory);
  const parts: readonly ModelPart[] = ['model', 'vision_model', 'text_model'];
  const wanted = typeof dtype === 'string' ? dtype : parts.map((part) => dtype[part] ?? 'auto').join('/');
  return new FsynError(
    'MODEL_FILE',
    `Expected onnx/model[_dtype].onnx, or onnx/vision_model[_dtype].onnx with onnx/text_model[_dtype].onnx, in ` +
      `${JSON.stringify(directory)} (number format ${wanted}); ` +
      (present.length === 0 ? 'there is no .onnx file.' : `there are: ${present.join(', ')}.`),
  );
}

function requireOutputOf(model: OnnxModel, name: string): void {
  if (model.graph.outputNames.includes(name)) return;
  throw new FsynError(
    'MODEL_CONTRACT',
    `Expected an output ${JSON.stringify(name)} in ${JSON.stringify(model.source)}; it has: ${model.graph.outputNames.join(', ')}.`,
  );
}

/** The part of a graph that computes one output, with the inputs that it needs. */
function partOf(model: OnnxModel, output: string, known: readonly string[]): OnnxModel {
  const part = model.withNodes(model.graph.nodes, [output]);
  const { graph } = part;
  const needed = graph.inputNames.filter((name) => graph.consumersOf(name).length > 0);
  const foreign = needed.filter((name) => !known.includes(name));
  if (foreign.length > 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected ${output} in ${JSON.stringify(model.source)} to depend on ${known.join(' and ')} only; it also depends on ` +
        `${foreign.join(', ')}, so that the two sides cannot be run apart.`,
    );
  }
  graph.proto.input = graph.proto.input.filter(({ name }) => needed.includes(name));
  graph.touch();
  return part;
}

/**
 * Scale and bias by which the model turns a cosine into its logit, measured at cosines 1, 0 and -1 on the
 * graph between the embeddings and `logits_per_image`: exports fold them into constants in too many ways to
 * look them up.
 */
async function measureHead(
  model: OnnxModel,
  width: number,
  options: SessionOptions,
): Promise<SimilarityHead> {
  const { graph } = model;
  const cuts = Object.values(embeddings).map((name) => sourceOf(model, name));
  const nodes = graph.nodes.filter((node) => !node.output.some((name) => cuts.includes(name)));
  const part = model.withNodes(nodes, ['logits_per_image']);
  const needed = part.graph.inputNames.filter((name) => part.graph.consumersOf(name).length > 0);
  if (needed.length > 0) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected logits_per_image in ${JSON.stringify(model.source)} to follow from image_embeds and text_embeds; it also depends on ${needed.join(', ')}.`,
    );
  }
  part.graph.proto.input = [];
  for (const [i, name] of Object.values(embeddings).entries()) {
    const declared = graph.proto.output.find((output) => output.name === name);
    const type = declared?.type?.tensorType?.elemType;
    part.graph.addInput(cuts[i], type || 1, ['rows', 'width']);
  }
  part.graph.touch();
  const session = await loadEdited(part, options);
  try {
    const at = async (text: Float32Array): Promise<number> => {
      const image = basis(width, 0, 1);
      const feeds = Object.fromEntries(
        session.inputs.map((input) => [
          input.name,
          floatFeed(input, input.name === cuts[0] ? image : text, [1, width]),
        ]),
      );
      const { logits_per_image: logits } = await session.run(feeds, { outputs: ['logits_per_image'] });
      return floatValues('logits_per_image', logits).values[0];
    };
    const high = await at(basis(width, 0, 1));
    const bias = await at(basis(width, 1, 1));
    const low = await at(basis(width, 0, -1));
    const scale = (high - low) / 2;
    // Half precision keeps about three digits of numbers of this size.
    if (!(Math.abs((high + low) / 2 - bias) <= 3e-3 * (Math.abs(scale) + Math.abs(bias)) && scale > 0)) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected logits_per_image in ${JSON.stringify(model.source)} to be a scale times the cosine plus a bias; at cosines ` +
          `1, 0 and -1 it is ${high}, ${bias} and ${low}.`,
      );
    }
    return { scale, bias };
  } finally {
    session.dispose();
  }
}

/** The tensor behind an output, past copies that exporters put in front of outputs. */
function sourceOf(model: OnnxModel, output: string): string {
  let name = output;
  for (;;) {
    const producer = model.graph.producerOf(name);
    if (producer?.opType !== 'Identity') return name;
    name = producer.input[0];
  }
}

function basis(width: number, axis: number, value: number): Float32Array {
  const vector = new Float32Array(width);
  vector[axis] = value;
  return vector;
}
