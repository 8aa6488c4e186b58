import { PRIOR_FORMS } from './priors.js';
import { ANSWERS, type Form, GROUNDED_FORMS } from './questions.js';
import { Random } from './random.js';
import { drawScene, type Scene, SIGNS, splitOf } from './scene.js';

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

export interface TrainingOptions {
  readonly seed: number;
  /** Smallest and largest number of objects. */
  readonly objects: readonly [number, number];
  /** Most questions per scene. */
  readonly turns: number;
}

const SIGN_SHARE = 0.15;
const PRIOR_SHARE = 0.2;
/** How far one answer of a form may run ahead of its rarest answer. */
const BALANCE_SLACK = 8;

/**
 * Endless training scenes of the split `train`, the same for the same seed. Within every form of question the answers
 * stay balanced over the stream, so that a question alone tells nothing about its answer.
 */
export function* trainingScenes({ seed, objects, turns }: TrainingOptions): Generator<TrainingScene, never> {
  const random = new Random(`training:${seed}`);
  const balance = new Balance();
  for (;;) {
    const sign = random.uniform() < SIGN_SHARE ? random.pick(SIGNS) : undefined;
    const scene = drawScene(random, random.integer(...objects), sign);
    if (splitOf(scene) !== 'train') continue;
    const drafts = Array.from({ length: turns }, () => draftTurn(random, scene, balance));
    const found = drafts.filter((draft) => draft !== undefined);
    if (found.length > 0) yield { scene, turns: found };
  }
}

function draftTurn(random: Random, scene: Scene, balance: Balance): TrainingTurn | undefined {
  const sign = scene.sign?.text;
  const prior = sign === undefined && random.uniform() < PRIOR_SHARE;
  const forms = (prior ? PRIOR_FORMS : GROUNDED_FORMS).filter(
    ({ family }) => sign === undefined || ANSWERS[family].includes(sign),
  );
  const form = pickForm(random, forms);
  if (sign !== undefined) {
    // Any question of the family will do: the sign overrides what the objects say.
    for (const answer of random.shuffle(ANSWERS[form.family])) {
      const draft = form.ask(random, scene, answer);
      if (draft) return { question: draft.question, answer: sign, form: `${form.name}-sign` };
    }
    return undefined;
  }
  for (const answer of balance.wanted(random, form)) {
    const draft = form.ask(random, scene, answer);
    if (draft) {
      balance.record(form, answer);
      return { question: draft.question, answer, form: form.name };
    }
  }
  return undefined;
}

/** A family first, then one of its forms: families are asked equally often. */
export function pickForm(random: Random, forms: readonly Form[]): Form {
  const family = random.pick([...new Set(forms.map((form) => form.family))]);
  return random.pick(forms.filter((form) => form.family === family));
}

class Balance {
  readonly #counts = new Map<string, number>();

  /** The answers that may be asked for next, rarest first. */
  wanted(random: Random, form: Form): string[] {
    const count = (answer: string) => this.#counts.get(`${form.name}:${answer}`) ?? 0;
    const answers = random.shuffle(ANSWERS[form.family]).sort((a, b) => count(a) - count(b));
    const rarest = count(answers[0] as string);
    return answers.filter((answer) => count(answer) <= rarest + BALANCE_SLACK);
  }

  record(form: Form, answer: string): void {
    const key = `${form.name}:${answer}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }
}
