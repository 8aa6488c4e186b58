import { PRIOR_FORMS } from './priors.js';
import { ANSWERS, FAMILIES, type Family, type Form, GROUNDED_FORMS, RELATIONS } from './questions.js';
import { Random } from './random.js';
import { COLOURS, drawScene, GRID, type Scene, type SceneObject, SHAPES, splitOf } from './scene.js';

/** A question of a training scene; `form` names the way it was asked, for bookkeeping. */
export interface TrainingTurn {
  readonly question: string;
  readonly answer: string;
  readonly form: string;
}

/** One scene with several questions about it: what a model is trained on. */
export interface TrainingScene {
  readonly scene: Scene;
  readonly turns: readonly TrainingTurn[];
}

/** What is asked in training: the families of the suite, and three lessons that no test asks for. */
export const SUBJECTS = [...FAMILIES, 'attribute', 'place', 'side'] as const;
export type Subject = (typeof SUBJECTS)[number];

export interface TrainingOptions {
  readonly seed: number;
  /** Smallest and largest number of objects. */
  readonly objects: readonly [number, number];
  /** Most questions per scene. */
  readonly turns: number;
  /** How often each subject is asked, relative to the others. */
  readonly mix: Readonly<Partial<Record<Subject, number>>>;
  /** Share of questions, in scenes without a sign, that are text-prior. */
  readonly priors: number;
  /** Share of scenes with a sign. */
  readonly signs: number;
}

interface Lesson {
  readonly name: string;
  readonly subject: Subject;
  readonly answers: readonly string[];
  readonly ask: (
    random: Random,
    scene: Scene,
    answer: string,
  ) => { question: string; answer: string } | undefined;
}

/** How far one answer of a form may run ahead of its rarest answer. */
const BALANCE_SLACK = 8;
const PLACES = Array.from({ length: GRID }, (_, index) => String(index + 1));

/**
 * A yes or no says little about how a scene is read; a word says much. These questions teach to find an
 * object by colour or shape and to say the other, to find one by both and to say where it is, and which side
 * of the middle.
 */
const LESSONS: readonly Lesson[] = [
  {
    name: 'attribute-colour',
    subject: 'attribute',
    answers: COLOURS,
    ask: (random, { objects }, answer) => {
      const target = one(
        random,
        objects.filter((o) => o.colour === answer && alone(objects, (p) => p.shape === o.shape)),
      );
      return target && { question: `What colour is the ${target.shape}?`, answer };
    },
  },
  {
    name: 'attribute-shape',
    subject: 'attribute',
    answers: SHAPES,
    ask: (random, { objects }, answer) => {
      const target = one(
        random,
        objects.filter((o) => o.shape === answer && alone(objects, (p) => p.colour === o.colour)),
      );
      return target && { question: `What shape is the ${target.colour} one?`, answer };
    },
  },
  ...(['row', 'column'] as const).map(
    (line): Lesson => ({
      name: `place-${line}`,
      subject: 'place',
      answers: PLACES,
      ask: (random, { objects }, answer) => {
        const at = (o: SceneObject) => (line === 'row' ? Math.floor(o.cell / GRID) : o.cell % GRID) + 1;
        const target = one(
          random,
          objects.filter(
            (o) =>
              String(at(o)) === answer && alone(objects, (p) => p.colour === o.colour && p.shape === o.shape),
          ),
        );
        return target && { question: `In what ${line} is the ${target.colour} ${target.shape}?`, answer };
      },
    }),
  ),
  ...RELATIONS.map(
    (relation): Lesson => ({
      name: `side-${relation}`,
      subject: 'side',
      answers: ['yes', 'no'],
      ask: (random, { objects }, answer) => {
        const middle = (GRID - 1) / 2;
        const offset = (o: SceneObject) =>
          (relation === 'left' || relation === 'right' ? o.cell % GRID : Math.floor(o.cell / GRID)) - middle;
        const target = one(
          random,
          objects.filter(
            (o) =>
              (offset(o) < 0 === (relation === 'left' || relation === 'above')) === (answer === 'yes') &&
              alone(objects, (p) => p.colour === o.colour && p.shape === o.shape),
          ),
        );
        const line =
          relation === 'left' || relation === 'right' ? `${relation} of the column` : `${relation} the row`;
        return target && { question: `Is the ${target.colour} ${target.shape} ${line}?`, answer };
      },
    }),
  ),
];

const GROUNDED_LESSONS: readonly Lesson[] = [...GROUNDED_FORMS.map(lessonOf), ...LESSONS];
const PRIOR_LESSONS: readonly Lesson[] = PRIOR_FORMS.map(lessonOf);

/**
 * Endless training scenes of the split `train`, the same for the same options. Within every form of question
 * the answers stay balanced over the stream, so that a question alone tells nothing about its answer.
 */
export function* trainingScenes(options: TrainingOptions): Generator<TrainingScene, never> {
  const random = new Random(`training:${options.seed}`);
  const balance = new Balance();
  const families = FAMILIES.filter((family) => (options.mix[family] ?? 0) > 0);
  for (;;) {
    const sign = random.uniform() < options.signs ? random.pick(ANSWERS[random.pick(families)]) : undefined;
    const scene = drawScene(random, random.integer(...options.objects), sign);
    if (splitOf(scene) !== 'train') continue;
    const drafts = Array.from({ length: options.turns }, () => draftTurn(random, scene, balance, options));
    const turns = drafts.filter((draft) => draft !== undefined);
    if (turns.length > 0) yield { scene, turns };
  }
}

function draftTurn(
  random: Random,
  scene: Scene,
  balance: Balance,
  { mix, priors }: TrainingOptions,
): TrainingTurn | undefined {
  const sign = scene.sign?.text;
  const prior = sign === undefined && random.uniform() < priors;
  const asked = (prior ? PRIOR_LESSONS : GROUNDED_LESSONS).filter(
    ({ subject }) =>
      (mix[subject] ?? 0) > 0 && (sign === undefined || ANSWERS[subject as Family]?.includes(sign)),
  );
  const subjects = [...new Set(asked.map(({ subject }) => subject))];
  if (subjects.length === 0) return undefined;
  const subject = subjects[random.weighted(subjects.map((name) => mix[name] ?? 0))];
  const lesson = random.pick(asked.filter((candidate) => candidate.subject === subject));
  if (sign !== undefined) {
    // Any question of the family will do: the sign overrides what the objects say.
    for (const answer of random.shuffle(lesson.answers)) {
      const draft = lesson.ask(random, scene, answer);
      if (draft) return { question: draft.question, answer: sign, form: `${lesson.name}-sign` };
    }
    return undefined;
  }
  for (const answer of balance.wanted(random, lesson)) {
    const draft = lesson.ask(random, scene, answer);
    if (draft) {
      balance.record(lesson, answer);
      return { question: draft.question, answer, form: lesson.name };
    }
  }
  return undefined;
}

function lessonOf({ name, family, ask }: Form): Lesson {
  return { name, subject: family, answers: ANSWERS[family], ask };
}

function one(random: Random, objects: readonly SceneObject[]): SceneObject | undefined {
  return objects.length === 0 ? undefined : random.pick(objects);
}

function alone(objects: readonly SceneObject[], like: (object: SceneObject) => boolean): boolean {
  return objects.filter(like).length === 1;
}

class Balance {
  readonly #counts = new Map<string, number>();

  /** The answers that may be asked for next, rarest first. */
  wanted(random: Random, { name, answers }: Lesson): string[] {
    const count = (answer: string) => this.#counts.get(`${name}:${answer}`) ?? 0;
    const sorted = random.shuffle(answers).sort((a, b) => count(a) - count(b));
    const rarest = count(sorted[0]);
    return sorted.filter((answer) => count(answer) <= rarest + BALANCE_SLACK);
  }

  record({ name }: Lesson, answer: string): void {
    const key = `${name}:${answer}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }
}
