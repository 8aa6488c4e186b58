import { checkInteger, checkOneOf } from '../../checks.js';
import { FsynError, invalidArgument } from '../../errors.js';
import { resolveOptions } from '../../options.js';
import type { Dataset, Grounding, GroundTruth, Sample } from '../types.js';
import { PRIOR_FORMS } from './priors.js';
import { ANSWERS, type Draft, FAMILIES, type Family, type Form, GROUNDED_FORMS } from './questions.js';
import { Random } from './random.js';
import { renderScene } from './render.js';
import {
  cellBox,
  drawScene,
  SCENE_OBJECTS,
  type Scene,
  type SignText,
  type Split,
  splitOf,
} from './scene.js';

export const GROUNDINGS: readonly Grounding[] = ['grounded', 'text-prior', 'image-prior'];
/** Raised whenever the samples of a seed change. */
const VERSION = '3';
/**
 * Scenes are small and cells few: at the paper's radius a blurred cell would still show its colour. 16
 * pixels.
 */
export const EMBEDDED_MASKING = { baseline: 'blur', blurRadius: 0.25, blurUnit: 'relative' } as const;
const MAX_ATTEMPTS = 10_000;

export interface EmbeddedOptions {
  /**
   * Families of questions, asked in turn: `presence`, `relation`, `counting`, `choice`. All four by default.
   */
  readonly families: readonly Family[];
  /**
   * What a correct answer needs, taken in turn: `grounded`, `text-prior`, `image-prior`. Only `grounded` by
   * default.
   */
  readonly groundings: readonly Grounding[];
  /** Number of samples, >= 1. A larger dataset of the same seed begins with the samples of a smaller one. */
  readonly size: number;
  /** Integer; another seed gives other scenes. */
  readonly seed: number;
  /** `test` (default) or `train`; no layout is ever in both. */
  readonly split: Split;
}

/** A sample of the embedded suite, with the scene it was drawn from. */
export interface EmbeddedSample extends Sample {
  readonly family: Family;
  readonly grounding: Grounding;
  readonly truth: NonNullable<Sample['truth']>;
  readonly scene: Scene;
  /** The way the question is asked; answers are balanced within each form. */
  readonly form: string;
}

export interface EmbeddedDataset extends Dataset {
  samples(): AsyncGenerator<EmbeddedSample>;
}

const DEFAULTS: EmbeddedOptions = {
  families: FAMILIES,
  groundings: ['grounded'],
  size: 200,
  seed: 1,
  split: 'test',
};

/**
 * Small scenes of coloured shapes with questions in four families that mirror the paper's datasets:
 * `presence` (RePOPE), `relation` and `counting` (CV-Bench), `choice` (MMStar). Nothing is read or
 * downloaded; the same options give the same samples on every machine.
 *
 * Truth: `boxes` are the cells that decide, `words` the words that decide. For a presence question answered
 * "no" the boxes are all objects that compete with the absent one (same colour or same shape). `text-prior`
 * questions have no boxes, `image-prior` questions have the boxes of the sign's tiles and no words.
 */
export function embeddedDataset(options?: Partial<EmbeddedOptions>): EmbeddedDataset {
  const resolved = resolveOptions('embeddedDataset', DEFAULTS, options);
  checkOptions(resolved);
  const { families, groundings, size, seed, split } = resolved;
  const name = `embedded-${families.length === FAMILIES.length ? 'all' : families.join('+')}`;
  return {
    name,
    version: `${VERSION}-${split}-${seed}-${groundings.join('+')}`,
    size,
    masking: EMBEDDED_MASKING,
    async *samples() {
      for (let index = 0; index < size; index++) {
        const family = families[index % families.length] as Family;
        const turn = Math.floor(index / families.length);
        const grounding = groundings[turn % groundings.length] as Grounding;
        yield drawSample(family, grounding, Math.floor(turn / groundings.length), seed, split);
      }
    },
  };
}

/** Sample number `index` of one family and grounding. */
function drawSample(
  family: Family,
  grounding: Grounding,
  index: number,
  seed: number,
  split: Split,
): EmbeddedSample {
  const key = `${split}-${seed}-${family}-${grounding}`;
  const random = new Random(`${key}-${index}`);
  const forms = (grounding === 'text-prior' ? PRIOR_FORMS : GROUNDED_FORMS).filter(
    (form) => form.family === family,
  );
  const { form, answer } = slot(forms, ANSWERS[family], key, index);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const sign = grounding === 'image-prior' ? answer : undefined;
    const scene = drawScene(random, SCENE_OBJECTS, sign);
    if (splitOf(scene) !== split) continue;
    const draft = draftFor(random, scene, form, answer);
    if (!draft) continue;
    const { question, choices, truth } = draft;
    return {
      id: `${key}-${index}`,
      question,
      answer,
      ...(choices ? { choices } : {}),
      family,
      grounding,
      truth: withDistractors(truth, scene),
      scene,
      form: form.name,
      image: async () => renderScene(scene),
    };
  }
  throw new FsynError('DATASET', `No scene found for ${form.name} answered ${answer} (${key}-${index}).`);
}

/** The objects of a question about objects that do not decide it. */
function withDistractors(truth: GroundTruth, { objects, sign }: Scene): GroundTruth {
  if (sign !== undefined || truth.boxes.length === 0) return truth;
  const deciding = new Set(truth.boxes.map(String));
  const distractors = objects.map(({ cell }) => cellBox(cell)).filter((box) => !deciding.has(String(box)));
  return distractors.length === 0 ? truth : { ...truth, distractors };
}

/** The sign, where there is one, overrides what the objects say: the question then is any of its family. */
function draftFor(random: Random, scene: Scene, form: Form, answer: SignText): Draft | undefined {
  if (!scene.sign) return form.ask(random, scene, answer);
  const draft = form.ask(random, scene, random.pick(ANSWERS[form.family]));
  return draft && { ...draft, answer, truth: { boxes: scene.sign.cells.map(cellBox), words: [] } };
}

/** Every block of forms x answers holds each combination once, in a shuffled order of its own. */
function slot(forms: readonly Form[], answers: readonly SignText[], key: string, index: number) {
  const all = forms.flatMap((form) => answers.map((answer) => ({ form, answer })));
  const block = Math.floor(index / all.length);
  const shuffled = new Random(`${key}-block-${block}`).shuffle(all);
  return shuffled[index % all.length] as (typeof all)[number];
}

function checkOptions({ families, groundings, size, seed, split }: EmbeddedOptions): void {
  checkNames('families', families, FAMILIES);
  checkNames('groundings', groundings, GROUNDINGS);
  checkInteger('size', size, 1);
  checkInteger('seed', seed);
  checkOneOf('split', split, ['train', 'test']);
}

function checkNames<T extends string>(parameter: string, given: readonly T[], known: readonly T[]): void {
  const expected = `a non-empty list of distinct names out of ${known.join(', ')}`;
  if (!Array.isArray(given) || given.length === 0 || new Set(given).size !== given.length) {
    throw invalidArgument(parameter, expected, given);
  }
  for (const name of given) if (!known.includes(name)) throw invalidArgument(parameter, expected, name);
}
