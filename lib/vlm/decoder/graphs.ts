import { FsynError } from '../../errors.js';
import type { TensorInfo } from '../../inference/session.js';
import type { TensorArray } from '../../inference/tensor.js';
import { EXPORTED } from '../../onnx/exported.js';
import {
  type Graph,
  rejectUnknownInputs,
  requireInput,
  requireOutput,
  requireTensor,
} from '../files/contract.js';
import { floatFeed, floatValues, integerFeed } from '../files/feeds.js';
import type { ImageEncoding } from './architecture.js';

export interface ImageFeatures {
  /** [count, hidden] */
  readonly values: Float32Array;
  readonly count: number;
  readonly hidden: number;
}

/** Vision tower with its projector: pixels in, one feature per image token out. */
export class VisionGraph {
  readonly graph: Graph;
  readonly featureOutput: string;
  readonly #pixels: TensorInfo;

  /**
   * @param pixelInput name of the input that takes the pixels
   * @param extras names of the further inputs that the architecture feeds
   */
  constructor(graph: Graph, pixelInput: string, extras: readonly string[]) {
    this.graph = graph;
    this.#pixels = requireInput(graph, pixelInput);
    for (const name of extras) requireInput(graph, name);
    rejectUnknownInputs(graph, (name) => name === pixelInput || extras.includes(name));
    const outputs = graph.session.outputs;
    this.featureOutput =
      outputs.length === 1 ? outputs[0].name : requireOutput(graph, EXPORTED.features).name;
  }

  feeds(encoding: ImageEncoding, pixels: Float32Array): Record<string, TensorArray> {
    const feeds: Record<string, TensorArray> = {
      [this.#pixels.name]: floatFeed(this.#pixels, pixels, encoding.pixelShape),
    };
    for (const [name, { values, shape }] of Object.entries(encoding.extras)) {
      feeds[name] = integerFeed(requireInput(this.graph, name), values, shape);
    }
    return feeds;
  }

  /**
   * @throws FsynError MODEL_CONTRACT when the graph gives another number of features than the architecture
   * expects
   */
  async run(encoding: ImageEncoding, pixels: Float32Array, signal?: AbortSignal): Promise<ImageFeatures> {
    const results = await this.graph.session.run(this.feeds(encoding, pixels), {
      outputs: [this.featureOutput],
      signal,
    });
    const { values, shape } = floatValues(this.featureOutput, results[this.featureOutput]);
    const hidden = shape.at(-1) ?? 0;
    const count = hidden === 0 ? 0 : values.length / hidden;
    const expected = encoding.featurePlayers.length;
    if (count !== expected) {
      throw new FsynError(
        'MODEL_CONTRACT',
        `Expected ${expected} image features from ${JSON.stringify(this.graph.path)} by the configuration, ` +
          `but ${this.featureOutput} has shape [${shape.join(', ')}].`,
      );
    }
    return { values, count, hidden };
  }
}

/** Token embedding: a table of one row per token. */
export class EmbedGraph {
  readonly graph: Graph;
  readonly #ids: TensorInfo;
  readonly #output: string;

  constructor(graph: Graph) {
    this.graph = graph;
    this.#ids = requireInput(graph, EXPORTED.tokens);
    requireTensor(graph, this.#ids, 2, ['int64', 'int32']);
    rejectUnknownInputs(graph, (name) => name === EXPORTED.tokens);
    this.#output = requireOutput(graph, EXPORTED.embeddings).name;
  }

  /** @returns [ids.length, hidden] */
  async run(ids: Int32Array, signal?: AbortSignal): Promise<{ values: Float32Array; hidden: number }> {
    const results = await this.graph.session.run(
      { [EXPORTED.tokens]: integerFeed(this.#ids, ids, [1, ids.length]) },
      { signal },
    );
    const { values } = floatValues(this.#output, results[this.#output]);
    return { values, hidden: values.length / ids.length };
  }
}
