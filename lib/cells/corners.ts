import type { CellTable } from './table.js';

/** The four cells whose values no explainer can change, and the states that make them. */
export interface Corners {
  readonly fullImage: number;
  readonly fullText: number;
  readonly emptyImage: number;
  readonly emptyText: number;
  /** Cell (full image, full text): f. */
  readonly full: number;
  /** Cell (baseline image, full text). */
  readonly textOnly: number;
  /** Cell (full image, empty text). */
  readonly imageOnly: number;
  /** Cell (baseline image, empty text): z. */
  readonly empty: number;
}

/** Values of the four corners. */
export interface CornerValues {
  readonly full: number;
  readonly textOnly: number;
  readonly imageOnly: number;
  readonly empty: number;
}

export function requestCorners(table: CellTable): Corners {
  const fullImage = table.imageState(new Uint8Array(table.imagePlayers).fill(1));
  const emptyImage = table.imageState(new Uint8Array(table.imagePlayers));
  const fullText = table.textState(new Uint8Array(table.textPlayers).fill(1));
  const emptyText = table.textState(new Uint8Array(table.textPlayers));
  return {
    fullImage,
    fullText,
    emptyImage,
    emptyText,
    full: table.cell(fullImage, fullText),
    textOnly: table.cell(emptyImage, fullText),
    imageOnly: table.cell(fullImage, emptyText),
    empty: table.cell(emptyImage, emptyText),
  };
}

export function cornerValues(corners: Corners, values: ArrayLike<number>): CornerValues {
  return {
    full: values[corners.full],
    textOnly: values[corners.textOnly],
    imageOnly: values[corners.imageOnly],
    empty: values[corners.empty],
  };
}
