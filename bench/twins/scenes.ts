/**
 * Scenes and questions with a planted shortcut, for models that cheat on purpose.
 *
 * Every question asks for a coloured shape ("Is there a red circle?"). What the objects say and what the
 * shortcut says are drawn independently, so a model that follows one cannot be right about the other by luck.
 */
import { compose } from '../../lib/datasets/embedded/questions.js';
import type { Random } from '../../lib/datasets/embedded/random.js';
import {
  COLOURS,
  type Colour,
  cellBox,
  drawScene,
  SCENE_OBJECTS,
  type Scene,
  type SceneObject,
  SHAPES,
  type Shape,
  type Split,
  splitOf,
} from '../../lib/datasets/embedded/scene.js';
import type { GroundTruth } from '../../lib/datasets/types.js';

/**
 * `none`: no shortcut. `mark`: a tile in the lower right corner says yes or no; the picture alone suffices.
 * `word`: "the" says yes, "one" says no; the words alone suffice. `corner`: a cross in the lower left corner
 * says yes where it has the colour that is asked for; picture and words are needed together.
 */
export const SHORTCUTS = ['none', 'mark', 'word', 'corner'] as const;
export type Shortcut = (typeof SHORTCUTS)[number];
export type Verdict = 'yes' | 'no';
export const VERDICTS = ['yes', 'no'] as const;

/** Cells that no object lies in: the tile's and the cross's. */
export const MARK_CELL = 63;
export const CORNER_CELL = 56;
/** Crosses lie in the corner only and are never asked for. */
const ASKED_SHAPES = SHAPES.filter((shape) => shape !== 'cross');
const ARTICLES: Readonly<Record<Verdict, string>> = { yes: 'the', no: 'one' };
const MAX_ATTEMPTS = 10_000;

export interface TwinScene {
  readonly kind: Shortcut;
  readonly scene: Scene;
  /** What the tile says. */
  readonly mark?: Verdict;
  readonly corner?: SceneObject;
}

export interface TwinQuestion {
  readonly question: string;
  /** What the objects say, and what the shortcut says (the same as the objects where there is none). */
  readonly seen: Verdict;
  readonly told: Verdict;
  /** Cells and words of the objects asked for, and of the shortcut. */
  readonly object: GroundTruth;
  readonly shortcut: GroundTruth;
}

/**
 * A scene of the split: four objects, none of them a cross or in a reserved cell, and the shortcut's mark.
 */
export function drawTwinScene(random: Random, kind: Shortcut, split: Split): TwinScene {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const drawn = drawScene(random, SCENE_OBJECTS);
    const taken = [...drawn.clutter, ...drawn.objects.map(({ cell }) => cell)];
    if (splitOf(drawn) !== split || taken.includes(MARK_CELL) || taken.includes(CORNER_CELL)) continue;
    if (drawn.objects.some(({ shape }) => shape === 'cross')) continue;
    if (kind === 'mark') {
      const mark = random.pick(VERDICTS);
      return { kind, mark, scene: { ...drawn, sign: { cells: [MARK_CELL], text: mark } } };
    }
    if (kind === 'corner') {
      // A colour of the objects': questions about it can be answered either way.
      const corner = {
        cell: CORNER_CELL,
        colour: random.pick(drawn.objects).colour,
        shape: 'cross' as const,
      };
      return { kind, corner, scene: { ...drawn, objects: [...drawn.objects, corner] } };
    }
    return { kind, scene: drawn };
  }
  throw new Error('no scene found');
}

/**
 * A question about the scene of which objects say `seen` and the shortcut `told`, where the scene has one.
 */
export function askTwin(
  random: Random,
  from: TwinScene,
  seen: Verdict,
  told: Verdict,
): TwinQuestion | undefined {
  const { kind, mark, corner } = from;
  if (kind === 'mark' && mark !== told) return undefined;
  if (kind === 'none' && seen !== told) return undefined;
  const objects = from.scene.objects.filter((o) => o !== corner);
  const kinds = COLOURS.flatMap((colour) => ASKED_SHAPES.map((shape) => ({ colour, shape })));
  const fitting = kinds.filter(
    (asked) =>
      saidBy(objects, asked) === seen &&
      (corner === undefined || (asked.colour === corner.colour ? 'yes' : 'no') === told),
  );
  if (fitting.length === 0) return undefined;
  const asked = random.pick(fitting);
  const { question, words } = compose([
    'Is there ',
    [kind === 'word' ? ARTICLES[told] : 'a'],
    ' ',
    [asked.colour],
    ' ',
    [asked.shape],
    '?',
  ]);
  const [article, colour, shape] = words as [[number, number], [number, number], [number, number]];
  const deciding = objects.filter((o) =>
    seen === 'yes'
      ? o.colour === asked.colour && o.shape === asked.shape
      : o.colour === asked.colour || o.shape === asked.shape,
  );
  const shortcuts: Readonly<Record<Shortcut, GroundTruth>> = {
    none: { boxes: [], words: [] },
    mark: { boxes: [cellBox(MARK_CELL)], words: [] },
    word: { boxes: [], words: [article] },
    corner: { boxes: [cellBox(CORNER_CELL)], words: [colour] },
  };
  return {
    question,
    seen,
    told,
    object: { boxes: deciding.map(({ cell }) => cellBox(cell)), words: [colour, shape] },
    shortcut: shortcuts[kind],
  };
}

/** Absent kinds have competitors of the same colour and of the same shape; others are no fair question. */
function saidBy(
  objects: readonly SceneObject[],
  asked: { colour: Colour; shape: Shape },
): Verdict | undefined {
  if (objects.some((o) => o.colour === asked.colour && o.shape === asked.shape)) return 'yes';
  const competed =
    objects.some((o) => o.colour === asked.colour) && objects.some((o) => o.shape === asked.shape);
  return competed ? 'no' : undefined;
}
