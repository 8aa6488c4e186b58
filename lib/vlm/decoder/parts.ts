import type { Fallback } from '../../inference/plan.js';
import type { DeviceCaches } from '../../inference/program.js';
import type { MatrixCosts } from '../files/costs.js';
import type { ModelDirectory } from '../files/directory.js';
import type { ChatTemplate } from '../text/chat.js';
import type { TokenisedPrompt } from '../text/prompt.js';
import type { TextTokenizer } from '../text/tokenizer.js';
import type { Answer, RgbImage } from '../types.js';
import type { Architecture, ImageEncoding } from './architecture.js';
import type { DecoderGraph } from './graph.js';
import type { EmbedGraph, VisionGraph } from './graphs.js';
import type { Removal } from './probe.js';

/** The loaded parts of a model directory. */
export interface VlmParts {
  readonly directory: ModelDirectory;
  readonly architecture: Architecture;
  readonly vision: VisionGraph;
  readonly embed: EmbedGraph;
  readonly decoder: DecoderGraph;
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  /** Worker threads of the evaluator. */
  readonly workers: number;
  /** Bytes that scoring may use beside the model's weights. */
  readonly memory: number;
  /** Where prefixes' caches can stay on a device; undefined on the host. */
  readonly deviceCaches: DeviceCaches | undefined;
  /** What decides how the model computes: the hash of its files and the providers. */
  readonly content: string;
  readonly costs: { readonly vision: MatrixCosts; readonly decoder: MatrixCosts };
  /** What stands against sharing passes, found when the files were read. */
  readonly fallbacks: readonly Fallback[];
}

/** What prepare found out about one image and question. */
export interface PreparedInputs {
  readonly image: RgbImage;
  readonly question: string;
  readonly prompt: TokenisedPrompt;
  readonly encoding: ImageEncoding;
  /** The pixel input of the baseline image: the same shape as `encoding.pixels`. */
  readonly baselinePixels: Float32Array;
  readonly answer: Answer;
  /** How many answer tokens are scored, from the first. */
  readonly scored: number;
  readonly padTokenId: number;
  readonly textMasking: 'remove' | 'attend';
  /** How removed tokens leave attention on this decoder. */
  readonly removal: Removal;
  /** What stood against a cheaper way when the answer was found. */
  readonly fallbacks: readonly Fallback[];
}
