import type { Corners } from '../cells/corners.js';
import type { Ranking } from '../cells/ranking.js';
import type { CellTable } from '../cells/table.js';
import { areaUnderCurve, onlyTop, playersAtStep, withoutTop } from './steps.js';

/**
 * The cells of F_syn: per step the joint cell and its two one-sided neighbours, for insertion and for
 * deletion.
 */
export interface SynergyRequest {
  readonly steps: readonly number[];
  /** v(ins_k, insT_k), v(ins_k, empty), v(empty, insT_k). */
  readonly insertion: { readonly joint: Int32Array; readonly image: Int32Array; readonly text: Int32Array };
  /** v(del_k, delT_k), v(del_k, full), v(full, delT_k). */
  readonly deletion: { readonly joint: Int32Array; readonly image: Int32Array; readonly text: Int32Array };
  readonly full: number;
  readonly empty: number;
}

/** One variant of F_syn: insertion, deletion and their mean. */
export interface SynergyAuc {
  readonly insertion: number;
  readonly deletion: number;
  readonly mean: number;
}

/** Synergistic faithfulness of one attribution. */
export interface SynergyResult {
  /** Harsanyi dividend of {top image players, top text players} at each step, against the empty input. */
  readonly insertion: Float64Array;
  /** The same double difference against the full input. */
  readonly deletion: Float64Array;
  /** Signed, in units of the value. */
  readonly raw: SynergyAuc;
  /** Divided by max(|f - z|, floor), signed. */
  readonly normalised: SynergyAuc;
  /**
   * Normalised and clipped to [0, 1] at each step: the number in the paper's tables. Rewards noise; never
   * read it alone.
   */
  readonly clipped: SynergyAuc;
}

/**
 * Requests the cells of F_syn (arXiv 2605.22168; the joint Harsanyi dividend integrated over insertion and
 * deletion). Image and text use the same fraction of their players at each step.
 */
export function requestSynergy(
  table: CellTable,
  ranking: Ranking,
  corners: Corners,
  steps: readonly number[],
): SynergyRequest {
  const states = steps.map((step) => {
    const imageCount = playersAtStep(step, table.imagePlayers);
    const textCount = playersAtStep(step, table.textPlayers);
    return {
      insertedImage: table.imageState(onlyTop(ranking.image, imageCount)),
      insertedText: table.textState(onlyTop(ranking.text, textCount)),
      deletedImage: table.imageState(withoutTop(ranking.image, imageCount)),
      deletedText: table.textState(withoutTop(ranking.text, textCount)),
    };
  });
  const cells = (pick: (state: (typeof states)[number]) => [number, number]) =>
    Int32Array.from(states, (state) => table.cell(...pick(state)));
  return {
    steps,
    insertion: {
      joint: cells((state) => [state.insertedImage, state.insertedText]),
      image: cells((state) => [state.insertedImage, corners.emptyText]),
      text: cells((state) => [corners.emptyImage, state.insertedText]),
    },
    deletion: {
      joint: cells((state) => [state.deletedImage, state.deletedText]),
      image: cells((state) => [state.deletedImage, corners.fullText]),
      text: cells((state) => [corners.fullImage, state.deletedText]),
    },
    full: corners.full,
    empty: corners.empty,
  };
}

/**
 * Scores F_syn from the values of the table's cells.
 *
 * @param floor smallest denominator of the normalised variants
 */
export function scoreSynergy(
  request: SynergyRequest,
  values: ArrayLike<number>,
  floor: number,
): SynergyResult {
  const full = values[request.full];
  const empty = values[request.empty];
  const dividends = (part: SynergyRequest['insertion'], corner: number) =>
    Float64Array.from(
      part.joint,
      (joint, i) => values[joint] - values[part.image[i]] - values[part.text[i]] + corner,
    );
  const insertion = dividends(request.insertion, empty);
  const deletion = dividends(request.deletion, full);
  const scale = Math.max(Math.abs(full - empty), floor);
  const variant = (transform: (dividend: number) => number): SynergyAuc => {
    const inserted = areaUnderCurve(request.steps, insertion.map(transform));
    const deleted = areaUnderCurve(request.steps, deletion.map(transform));
    return { insertion: inserted, deletion: deleted, mean: (inserted + deleted) / 2 };
  };
  return {
    insertion,
    deletion,
    raw: variant((dividend) => dividend),
    normalised: variant((dividend) => dividend / scale),
    clipped: variant((dividend) => Math.min(Math.max(dividend / scale, 0), 1)),
  };
}
