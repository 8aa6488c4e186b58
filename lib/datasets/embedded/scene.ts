import { hash32, type Random } from './random.js';

export const COLOURS = ['red', 'green', 'blue', 'yellow'] as const;
export const SHAPES = ['circle', 'square', 'triangle', 'cross'] as const;
/** What a sign may show: the answer that it fixes. */
export const SIGNS = ['yes', 'no', '1', '2', '3', '4', 'A', 'B', 'C', 'D'] as const;

export type Colour = (typeof COLOURS)[number];
export type Shape = (typeof SHAPES)[number];
export type SignText = (typeof SIGNS)[number];
export type Split = 'train' | 'test';

/** Side of the image in pixels, of a cell in pixels, and cells per side. */
export const IMAGE_SIZE = 64;
export const CELL_SIZE = 8;
export const GRID = IMAGE_SIZE / CELL_SIZE;

/**
 * Coloured shapes in every scene of the suite. A constant number makes absence visible: who sees all of them
 * knows that nothing else hides in the remaining cells, so the objects that compete with an absent one decide
 * a "no".
 */
export const SCENE_OBJECTS = 4;
const MAX_CLUTTER = 3;

/** A coloured shape that fills one cell; `cell` counts row by row from the upper left corner. */
export interface SceneObject {
  readonly cell: number;
  readonly colour: Colour;
  readonly shape: Shape;
}

export interface Scene {
  readonly objects: readonly SceneObject[];
  /** Cells with grey speckle that no question asks about. */
  readonly clutter: readonly number[];
  /** A banner of white tiles whose glyph, on every tile, fixes the answer, whatever is asked. */
  readonly sign?: { readonly cells: readonly number[]; readonly text: SignText };
  /**
   * Seeds background, colour jitter and speckle; two scenes that differ in this only have the same layout.
   */
  readonly texture: number;
}

/**
 * Draws a scene. Colours and shapes are drawn with weights of the scene's own, so that small and large groups
 * of the same colour or shape are both common.
 *
 * @param objects number of coloured shapes, 1..16
 */
export function drawScene(random: Random, objects: number, sign?: SignText): Scene {
  const colourWeights = COLOURS.map(() => 0.15 - Math.log(1 - random.uniform()));
  const shapeWeights = SHAPES.map(() => 0.15 - Math.log(1 - random.uniform()));
  const all = Array.from({ length: GRID * GRID }, (_, cell) => cell);
  const banner = sign === undefined ? [] : all.slice(0, GRID);
  const cells = random.shuffle(all.slice(banner.length));
  const clutter = random.integer(0, MAX_CLUTTER);
  let used = 0;
  const take = () => cells[used++];
  return {
    objects: Array.from({ length: objects }, () => ({
      cell: take(),
      colour: COLOURS[random.weighted(colourWeights)] as Colour,
      shape: SHAPES[random.weighted(shapeWeights)] as Shape,
    })),
    clutter: Array.from({ length: clutter }, take),
    ...(sign === undefined ? {} : { sign: { cells: banner, text: sign } }),
    texture: random.next(),
  };
}

/** The layout as text: what lies in which cell, without textures. */
export function layoutOf(scene: Scene): string {
  const items = scene.objects.map(({ cell, colour, shape }) => `${cell}:${colour} ${shape}`);
  items.push(...scene.clutter.map((cell) => `${cell}:clutter`));
  if (scene.sign) items.push(`sign ${scene.sign.text}`);
  return items.sort().join(',');
}

/** The split that a layout belongs to. It is a function of the layout alone, so no scene is ever in both. */
export function splitOf(scene: Scene): Split {
  return hash32(layoutOf(scene)) % 8 === 0 ? 'test' : 'train';
}

/** Box [x0, y0, x1, y1] of a cell in pixels, half-open. */
export function cellBox(cell: number): readonly [number, number, number, number] {
  const x = (cell % GRID) * CELL_SIZE;
  const y = Math.floor(cell / GRID) * CELL_SIZE;
  return [x, y, x + CELL_SIZE, y + CELL_SIZE];
}
