import type { GroundTruth } from '../types.js';
import type { Random } from './random.js';
import {
  COLOURS,
  type Colour,
  cellBox,
  GRID,
  type Scene,
  type SceneObject,
  SHAPES,
  type Shape,
  type SignText,
} from './scene.js';

export const FAMILIES = ['presence', 'relation', 'counting', 'choice'] as const;
export type Family = (typeof FAMILIES)[number];

/** A question with its answer and what decides it. */
export interface Draft {
  readonly family: Family;
  readonly question: string;
  readonly answer: string;
  readonly choices?: readonly string[];
  readonly truth: GroundTruth;
}

export const LETTERS = ['A', 'B', 'C', 'D'] as const;
export const ANSWERS: Readonly<Record<Family, readonly SignText[]>> = {
  presence: ['yes', 'no'],
  relation: ['yes', 'no'],
  counting: ['1', '2', '3', '4'],
  choice: LETTERS,
};

/** A way to ask: answers are balanced within each form. */
export interface Form {
  readonly name: string;
  readonly family: Family;
  /** A question of this form whose answer is `answer`, or undefined where the scene has none. */
  readonly ask: (random: Random, scene: Scene, answer: string) => Draft | undefined;
}

export const RELATIONS = ['left', 'right', 'above', 'below'] as const;
export type Relation = (typeof RELATIONS)[number];

/** Whether `a` lies `relation` of `b`, by rows and columns of the grid. */
export function holds(relation: Relation, a: SceneObject, b: SceneObject): boolean {
  if (relation === 'left') return column(a) < column(b);
  if (relation === 'right') return column(a) > column(b);
  return relation === 'above' ? row(a) < row(b) : row(a) > row(b);
}

/** The questions that need image and words together. */
export const GROUNDED_FORMS: readonly Form[] = [
  { name: 'presence', family: 'presence', ask: askPresence },
  ...RELATIONS.map(
    (relation): Form => ({
      name: `relation-${relation}`,
      family: 'relation',
      ask: (random, scene, answer) => askRelation(random, scene, answer, relation),
    }),
  ),
  {
    name: 'counting',
    family: 'counting',
    ask: askCount,
  },
  {
    name: 'choice-shape',
    family: 'choice',
    ask: (random, scene, answer) => askChoice(random, scene, answer, 'shape'),
  },
  {
    name: 'choice-colour',
    family: 'choice',
    ask: (random, scene, answer) => askChoice(random, scene, answer, 'colour'),
  },
];

/**
 * "Is there a red circle?": absent kinds always have competitors of the same colour and of the same shape.
 */
function askPresence(random: Random, scene: Scene, answer: string): Draft | undefined {
  const kinds = COLOURS.flatMap((colour) => SHAPES.map((shape) => ({ colour, shape })));
  const candidates = kinds.filter(({ colour, shape }) => {
    const present = scene.objects.some((o) => o.colour === colour && o.shape === shape);
    if (answer === 'yes') return present;
    return (
      !present &&
      scene.objects.some((o) => o.colour === colour) &&
      scene.objects.some((o) => o.shape === shape)
    );
  });
  if (candidates.length === 0) return undefined;
  const kind = random.pick(candidates);
  const deciding = scene.objects.filter((o) =>
    answer === 'yes'
      ? o.colour === kind.colour && o.shape === kind.shape
      : o.colour === kind.colour || o.shape === kind.shape,
  );
  const { question, words } = compose(['Is there a ', [kind.colour], ' ', [kind.shape], '?']);
  return { family: 'presence', question, answer, truth: { boxes: boxesOf(deciding), words } };
}

/** "Is the red circle left of the blue square?" about two objects that are the only ones of their kinds. */
function askRelation(random: Random, scene: Scene, answer: string, relation: Relation): Draft | undefined {
  const single = scene.objects.filter(
    (o) => scene.objects.filter((p) => p.colour === o.colour && p.shape === o.shape).length === 1,
  );
  const pairs = single.flatMap((a) =>
    single
      .filter((b) => holds(relation, a, b) || holds(relation, b, a))
      .filter((b) => holds(relation, a, b) === (answer === 'yes'))
      .map((b) => [a, b] as const),
  );
  if (pairs.length === 0) return undefined;
  const [a, b] = random.pick(pairs);
  const between: Phrase =
    relation === 'left' || relation === 'right' ? [' ', [relation], ' of the '] : [' ', [relation], ' the '];
  const { question, words } = compose([
    'Is the ',
    [a.colour],
    ' ',
    [a.shape],
    ...between,
    [b.colour],
    ' ',
    [b.shape],
    '?',
  ]);
  return { family: 'relation', question, answer, truth: { boxes: boxesOf([a, b]), words } };
}

/** "How many red shapes are there?" */
function askCount(random: Random, scene: Scene, answer: string): Draft | undefined {
  const group = (colour: Colour) => scene.objects.filter((o) => o.colour === colour);
  const candidates = COLOURS.filter((colour) => group(colour).length === Number(answer));
  if (candidates.length === 0) return undefined;
  const colour = random.pick(candidates);
  const { question, words } = compose(['How many ', [colour], ' shapes are there?']);
  return { family: 'counting', question, answer, truth: { boxes: boxesOf(group(colour)), words } };
}

/** "What shape is the red one? A circle B square C triangle D cross" about the only red object. */
function askChoice(
  random: Random,
  scene: Scene,
  answer: string,
  asked: 'shape' | 'colour',
): Draft | undefined {
  const given = asked === 'shape' ? 'colour' : 'shape';
  const candidates = scene.objects.filter(
    (o) => scene.objects.filter((p) => p[given] === o[given]).length === 1,
  );
  if (candidates.length === 0) return undefined;
  const target = random.pick(candidates);
  const phrase: Phrase =
    asked === 'shape'
      ? ['What ', ['shape'], ' is the ', [target.colour], ' one?']
      : ['What ', ['colour'], ' is the ', [target.shape], '?'];
  return chooseFrom(random, phrase, asked, target[asked], answer, boxesOf([target]));
}

/** Appends the shuffled options, the right one under the wanted letter. */
export function chooseFrom(
  random: Random,
  phrase: Phrase,
  asked: 'shape' | 'colour',
  right: Colour | Shape,
  answer: string,
  boxes: GroundTruth['boxes'],
): Draft {
  const values: readonly string[] = asked === 'shape' ? SHAPES : COLOURS;
  const others = random.shuffle(values.filter((value) => value !== right));
  const options = LETTERS.flatMap((letter): Phrase => {
    if (letter === answer) return [' ', [letter], ' ', [right]];
    return [` ${letter} ${others.pop() as string}`];
  });
  const { question, words } = compose([...phrase, ...options]);
  return { family: 'choice', question, answer, choices: LETTERS, truth: { boxes, words } };
}

/** Text in pieces; a piece in brackets is a word that decides. */
export type Phrase = readonly (string | readonly [string])[];

/** Joins a phrase and keeps the half-open character ranges of the words that decide. */
export function compose(phrase: Phrase): { question: string; words: [number, number][] } {
  let question = '';
  const words: [number, number][] = [];
  for (const piece of phrase) {
    const text = typeof piece === 'string' ? piece : piece[0];
    if (typeof piece !== 'string') words.push([question.length, question.length + text.length]);
    question += text;
  }
  return { question, words };
}

function boxesOf(objects: readonly SceneObject[]): GroundTruth['boxes'] {
  return objects.map(({ cell }) => cellBox(cell));
}

function row(object: SceneObject): number {
  return Math.floor(object.cell / GRID);
}

function column(object: SceneObject): number {
  return object.cell % GRID;
}
