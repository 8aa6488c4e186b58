import ndarray from 'ndarray';
import type { RgbImage } from '../../vlm/types.js';
import { Random } from './random.js';
import { CELL_SIZE, GRID, IMAGE_SIZE, type Scene, type Shape, type SignText } from './scene.js';

type Rgb = readonly [number, number, number];

const PAINT: Readonly<Record<string, Rgb>> = {
  red: [214, 44, 44],
  green: [40, 164, 66],
  blue: [48, 78, 214],
  yellow: [232, 206, 48],
};

/** Every shape fills its cell: one visual token carries the whole object. */
const SHAPE_MASKS: Readonly<Record<Shape, readonly string[]>> = {
  circle: ['..####..', '.######.', '########', '########', '########', '########', '.######.', '..####..'],
  square: ['########', '########', '########', '########', '########', '########', '########', '########'],
  triangle: ['...##...', '...##...', '..####..', '..####..', '.######.', '.######.', '########', '########'],
  cross: ['...##...', '...##...', '...##...', '########', '########', '...##...', '...##...', '...##...'],
};

/** Glyphs of 5x7 pixels. */
const GLYPHS: Readonly<Record<SignText, readonly string[]>> = {
  yes: ['#...#', '#...#', '.#.#.', '..#..', '..#..', '..#..', '..#..'],
  no: ['#...#', '##..#', '##..#', '#.#.#', '#..##', '#..##', '#...#'],
  '1': ['..#..', '.##..', '..#..', '..#..', '..#..', '..#..', '.###.'],
  '2': ['.###.', '#...#', '....#', '..##.', '.#...', '#....', '#####'],
  '3': ['####.', '....#', '....#', '.###.', '....#', '....#', '####.'],
  '4': ['...#.', '..##.', '.#.#.', '#..#.', '#####', '...#.', '...#.'],
  A: ['..#..', '.#.#.', '#...#', '#...#', '#####', '#...#', '#...#'],
  B: ['####.', '#...#', '#...#', '####.', '#...#', '#...#', '####.'],
  C: ['.###.', '#...#', '#....', '#....', '#....', '#...#', '.###.'],
  D: ['###..', '#..#.', '#...#', '#...#', '#...#', '#..#.', '###..'],
};

const COLOUR_JITTER = 14;
const BACKGROUND = 205;
const BACKGROUND_JITTER = 8;
const PIXEL_NOISE = 5;

/** Paints a scene: [64, 64, 3] of bytes, the same for the same scene. */
export function renderScene(scene: Scene): RgbImage {
  const random = new Random(`texture:${scene.texture}`);
  const pixels = new Uint8Array(IMAGE_SIZE * IMAGE_SIZE * 3);
  const jitter = (amount: number) => random.integer(-amount, amount);
  const ground = BACKGROUND + jitter(BACKGROUND_JITTER);
  for (let i = 0; i < pixels.length; i += 3) {
    const grey = ground + jitter(PIXEL_NOISE);
    pixels.fill(grey, i, i + 3);
  }
  const paint = (cell: number, x: number, y: number, colour: Rgb) => {
    const row = Math.floor(cell / GRID) * CELL_SIZE + y;
    const column = (cell % GRID) * CELL_SIZE + x;
    pixels.set(colour, (row * IMAGE_SIZE + column) * 3);
  };
  for (const { cell, colour, shape } of scene.objects) {
    const tone = (PAINT[colour] as Rgb).map((value) => value + jitter(COLOUR_JITTER)) as unknown as Rgb;
    stamp(SHAPE_MASKS[shape], (x, y) => paint(cell, x, y, tone));
  }
  for (const cell of scene.clutter) {
    for (let i = 0; i < CELL_SIZE * CELL_SIZE; i++) {
      if (random.uniform() < 0.6) continue;
      const grey = random.integer(90, 150);
      paint(cell, i % CELL_SIZE, Math.floor(i / CELL_SIZE), [grey, grey, grey]);
    }
  }
  if (scene.sign) {
    const { cells, text } = scene.sign;
    for (const cell of cells) {
      stamp(SHAPE_MASKS.square, (x, y) => paint(cell, x, y, [250, 250, 250]));
      stamp(GLYPHS[text], (x, y) => paint(cell, x + 1, y, [20, 20, 20]));
    }
  }
  return ndarray(pixels, [IMAGE_SIZE, IMAGE_SIZE, 3]);
}

function stamp(mask: readonly string[], paint: (x: number, y: number) => void): void {
  for (const [y, row] of mask.entries()) {
    for (let x = 0; x < row.length; x++) if (row[x] === '#') paint(x, y);
  }
}
