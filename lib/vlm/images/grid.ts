import { FsynError } from '../../errors.js';
import type { ImagePlayers } from '../types.js';
import { type PixelFrame, type ProcessedImage, toOriginal } from './processor.js';

/** Boxes of a grid of square cells in pixels of the original image, row-major: [rows * columns, 4]. */
export function gridBoxes(rows: number, columns: number, cell: number, frame: PixelFrame): Float64Array {
  const boxes = new Float64Array(rows * columns * 4);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const box = toOriginal(frame, [x * cell, y * cell, (x + 1) * cell, (y + 1) * cell]);
      boxes.set(box, (y * columns + x) * 4);
    }
  }
  return boxes;
}

/**
 * The image players of a processed image of one tile: its whole patches, row-major.
 *
 * @throws FsynError MODEL_CONTRACT where not even one patch fits
 */
export function patchGrid(patch: number, { height, width, frame }: ProcessedImage): ImagePlayers {
  const rows = Math.floor(height / patch);
  const columns = Math.floor(width / patch);
  if (rows < 1 || columns < 1) {
    throw new FsynError(
      'MODEL_CONTRACT',
      `A patch of ${patch} pixels does not fit into an image of ${width} x ${height}.`,
    );
  }
  const boxes = gridBoxes(rows, columns, patch, frame);
  return { count: rows * columns, rows, columns, tiles: 1, boxes };
}

/**
 * Cell of every element of [3, height, width] planes, row-major cells of `cell` pixels.
 * Elements beyond the last whole cell, which a strided convolution never reads, belong to none (-1).
 *
 * @param first index of the first cell
 */
export function patchPlayers(height: number, width: number, cell: number, first = 0): Int32Array {
  const rows = Math.floor(height / cell);
  const columns = Math.floor(width / cell);
  const plane = new Int32Array(height * width).fill(-1);
  for (let y = 0; y < rows * cell; y++) {
    for (let x = 0; x < columns * cell; x++) {
      plane[y * width + x] = first + Math.floor(y / cell) * columns + Math.floor(x / cell);
    }
  }
  const players = new Int32Array(3 * plane.length);
  for (let c = 0; c < 3; c++) players.set(plane, c * plane.length);
  return players;
}
