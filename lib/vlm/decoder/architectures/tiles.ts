import ndarray from 'ndarray';
import { gridBoxes, patchPlayers } from '../../images/grid.js';
import { writePlanes } from '../../images/normalise.js';
import type { PixelFrame } from '../../images/processor.js';
import type { RgbImage } from '../../types.js';
import type { ImageEncoding } from '../architecture.js';

/** A tile of an image: its pixels, and where they lie in the original. */
export interface Tile {
  readonly image: RgbImage;
  readonly frame: PixelFrame;
}

/** What all tiles of a model have in common. */
export interface TileGeometry {
  readonly height: number;
  readonly width: number;
  /** Side of a visual token in pixels of the tile. */
  readonly cell: number;
  /** Side of a patch of the vision tower. */
  readonly patch: number;
  /** Whether the tower's tokens of a tile begin with a class token. */
  readonly classToken: boolean;
  /** Normalisation of the pixels, see normalisationTable. */
  readonly table: Float32Array;
}

/**
 * Cuts a canvas of whole tiles row by row. `original` is the size of the image that the canvas shows:
 * [height, width].
 */
export function cutTiles(
  canvas: RgbImage,
  rows: number,
  columns: number,
  original: readonly [number, number],
): Tile[] {
  const height = canvas.shape[0] / rows;
  const width = canvas.shape[1] / columns;
  const scaleX = original[1] / canvas.shape[1];
  const scaleY = original[0] / canvas.shape[0];
  return Array.from({ length: rows * columns }, (_, i) => {
    const offsetY = Math.floor(i / columns) * height;
    const offsetX = (i % columns) * width;
    const data = new Uint8Array(height * width * 3);
    for (let y = 0; y < height; y++) {
      const from = ((offsetY + y) * canvas.shape[1] + offsetX) * 3;
      data.set(canvas.data.subarray(from, from + width * 3), y * width * 3);
    }
    return { image: ndarray(data, [height, width, 3]), frame: { scaleX, scaleY, offsetX, offsetY } };
  });
}

/**
 * The part of an encoding that tiles decide: planes of all tiles, tile after tile, every cell of every tile a
 * player.
 */
export function encodeTiles(
  tiles: readonly Tile[],
  geometry: TileGeometry,
): Pick<
  ImageEncoding,
  'pixels' | 'views' | 'players' | 'pixelPlayers' | 'featurePlayers' | 'visionTokenPlayers'
> {
  const { height, width, cell, patch, classToken, table } = geometry;
  const rows = height / cell;
  const columns = width / cell;
  const perTile = rows * columns;
  const size = 3 * height * width;
  const pixels = new Float32Array(tiles.length * size);
  const pixelPlayers = new Int32Array(pixels.length);
  const boxes = new Float64Array(tiles.length * perTile * 4);
  const tokens: number[] = [];
  for (const [t, tile] of tiles.entries()) {
    writePlanes(tile.image, table, pixels, t * size);
    pixelPlayers.set(patchPlayers(height, width, cell, t * perTile), t * size);
    boxes.set(gridBoxes(rows, columns, cell, tile.frame), t * perTile * 4);
    if (classToken) tokens.push(-1);
    for (let y = 0; y < height; y += patch) {
      for (let x = 0; x < width; x += patch) tokens.push(pixelPlayers[t * size + y * width + x]);
    }
  }
  const count = tiles.length * perTile;
  return {
    pixels,
    views: tiles.map(({ image }) => image),
    players: { count, rows, columns, tiles: tiles.length, boxes },
    pixelPlayers,
    featurePlayers: Int32Array.from({ length: count }, (_, i) => i),
    visionTokenPlayers: Int32Array.from(tokens),
  };
}
