import {
  COLOUR_FACTS,
  COUNT_FACTS,
  ORDER_FACTS,
  PRESENCE_FACTS,
  SHAPE_FACTS,
} from '../../lib/datasets/embedded/priors.js';
import type { Scene, SceneObject } from '../../lib/datasets/embedded/scene.js';

/** What a question's answer is and which objects and facts it was read from, found by parsing its text. */
export interface Verdict {
  readonly answer: string;
  /** Objects that decide; undefined for a fact. */
  readonly objects?: readonly SceneObject[];
}

const rowOf = (o: SceneObject) => (o.cell - (o.cell % 8)) / 8;
const columnOf = (o: SceneObject) => o.cell % 8;

/**
 * Answers a question of the suite by reading its English and looking at the objects; shares no code with the
 * generator.
 */
export function answerOf(question: string, scene: Scene): Verdict {
  const { objects } = scene;
  let match = question.match(/^Is there a (\w+) (\w+)\?$/);
  if (match) {
    const [, colour, shape] = match;
    const same = objects.filter((o) => o.colour === colour && o.shape === shape);
    if (same.length > 0) return { answer: 'yes', objects: same };
    return { answer: 'no', objects: objects.filter((o) => o.colour === colour || o.shape === shape) };
  }
  match = question.match(/^Is there a (\w+)\?$/);
  if (match) {
    const thing = match[1];
    return { answer: PRESENCE_FACTS.yes.includes(thing) ? 'yes' : 'no' };
  }
  match = question.match(/^Is the (\w+) (\w+) (left of|right of|above|below) the (row|column)\?$/);
  if (match) {
    const [, colour, shape, relation] = match;
    const target = only(objects.filter((o) => o.colour === colour && o.shape === shape));
    const place = relation === 'left of' || relation === 'right of' ? columnOf(target) : rowOf(target);
    return { answer: place < 4 === (relation === 'left of' || relation === 'above') ? 'yes' : 'no' };
  }
  match = question.match(/^Is the (\w+) (\w+) (left of|right of|above|below) the (\w+) (\w+)\?$/);
  if (match) {
    const [, c1, s1, relation, c2, s2] = match as unknown as string[];
    const a = only(objects.filter((o) => o.colour === c1 && o.shape === s1));
    const b = only(objects.filter((o) => o.colour === c2 && o.shape === s2));
    const difference =
      relation === 'left of' || relation === 'right of' ? columnOf(a) - columnOf(b) : rowOf(a) - rowOf(b);
    if (difference === 0) throw new Error('objects on one line');
    const before = relation === 'left of' || relation === 'above';
    return { answer: difference < 0 === before ? 'yes' : 'no', objects: [a, b] };
  }
  match = question.match(/^Is the (\w+) (left of|right of|above|below) the (\w+)\?$/);
  if (match) {
    const [, a, relation, b] = match as unknown as [string, string, string, string];
    const before = relation === 'left of' || relation === 'above';
    const fact = only(ORDER_FACTS.filter(({ pair }) => pair.includes(a) && pair.includes(b)));
    return { answer: fact.pair.indexOf(a) < fact.pair.indexOf(b) === before ? 'yes' : 'no' };
  }
  match = question.match(/^How many (\w+) shapes are there\?$/);
  if (match) return counted(objects.filter((o) => o.colour === match?.[1]));
  match = question.match(/^How many (\w+) are there\?$/);
  if (match) {
    const thing = match[1];
    const fact = only(Object.entries(COUNT_FACTS).filter(([, things]) => things.includes(thing)));
    return { answer: fact[0] };
  }
  match = question.match(/^What (shape|colour) is the (\w+)(?: one)?\?$/);
  if (match) {
    const [, asked, thing] = match as unknown as [string, 'shape' | 'colour', string];
    const target = only(objects.filter((o) => (asked === 'shape' ? o.colour : o.shape) === thing));
    return { answer: target[asked], objects: [target] };
  }
  match = question.match(/^In what (row|column) is the (\w+) (\w+)\?$/);
  if (match) {
    const [, line, colour, shape] = match;
    const target = only(objects.filter((o) => o.colour === colour && o.shape === shape));
    return { answer: String((line === 'row' ? rowOf(target) : columnOf(target)) + 1), objects: [target] };
  }
  match = question.match(/^What (shape|colour) is the (\w+)(?: one)?\? A (\w+) B (\w+) C (\w+) D (\w+)$/);
  if (!match) throw new Error(`cannot read ${question}`);
  const [, asked, thing, ...options] = match as unknown as [string, 'shape' | 'colour', string, ...string[]];
  const letter = (value: string) => 'ABCD'[options.indexOf(value)];
  const facts: Record<string, readonly string[]> = asked === 'shape' ? SHAPE_FACTS : COLOUR_FACTS;
  const fact = Object.entries(facts).find(([, things]) => things.includes(thing));
  if (fact) return { answer: letter(fact[0]) };
  const target = only(objects.filter((o) => (asked === 'shape' ? o.colour : o.shape) === thing));
  return { answer: letter(target[asked]), objects: [target] };
}

function counted(objects: readonly SceneObject[]): Verdict {
  return { answer: String(objects.length), objects };
}

function only<T>(items: readonly T[]): T {
  if (items.length !== 1) throw new Error(`expected one, found ${items.length}`);
  return items[0] as T;
}
