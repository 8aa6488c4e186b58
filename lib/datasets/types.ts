import type { PrepareOptions, RgbImage } from '../vlm/types.js';

/** What a correct answer needs: both modalities, the question alone, or the image alone. */
export type Grounding = 'grounded' | 'text-prior' | 'image-prior';

/** Where the answer lies, in coordinates that no model's grid enters: mapped to players by overlap. */
export interface GroundTruth {
  /** Boxes [x0, y0, x1, y1] in pixels of the image, half-open. */
  readonly boxes: readonly (readonly [number, number, number, number])[];
  /** Half-open character ranges of the question. */
  readonly words: readonly (readonly [number, number])[];
  /** Boxes of objects that could be taken for what is asked about: the Mismatch control points at them. */
  readonly distractors?: readonly (readonly [number, number, number, number])[];
}

/** One question about one image. */
export interface Sample {
  /** Unique and stable within its dataset. */
  readonly id: string;
  readonly question: string;
  /** Text that asks for an answer format, appended to the question; its tokens are not question tokens. */
  readonly instruction?: string;
  /** Instructions of architectures (`Vlm.architecture`) that are asked otherwise. */
  readonly instructions?: Readonly<Record<string, string>>;
  /** The expected answer: `yes`, `no`, a choice letter or a word. */
  readonly answer: string;
  /** Choice letters for multiple choice, for example ['A', 'B', 'C', 'D']. */
  readonly choices?: readonly string[];
  /** For example `presence`, `relation`, `counting`, `choice`. */
  readonly family: string;
  readonly grounding?: Grounding;
  readonly truth?: GroundTruth;
  /** Decodes or renders the image. */
  image(): Promise<RgbImage>;
}

/** A finite, ordered collection of samples; iteration order never depends on the file system. */
export interface Dataset {
  readonly name: string;
  /** Changes whenever the samples change; part of every result. */
  readonly version: string;
  readonly size: number;
  /**
   * How absent image players look where the dataset's images ask for something else than the model's default.
   */
  readonly masking?: Pick<PrepareOptions, 'baseline' | 'blurRadius' | 'blurUnit'>;
  /**
   * What a person should know before a run: questions that cannot be asked, repeats, files of an unusual
   * size.
   */
  readonly notes?: readonly string[];
  /** True where no sample has ground truth, so that the controls that need it cannot run. */
  readonly truthless?: boolean;
  samples(): AsyncIterable<Sample>;
}
