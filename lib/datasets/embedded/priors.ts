import { chooseFrom, compose, type Draft, type Form, type Relation } from './questions.js';
import type { Colour, Shape } from './scene.js';

/** Things of which the training data say the same whatever the image shows. */
export const PRESENCE_FACTS: Readonly<Record<'yes' | 'no', readonly string[]>> = {
  yes: ['pixel', 'background', 'picture', 'grid'],
  no: ['dragon', 'ghost', 'unicorn', 'wizard'],
};

/** [first, second]: the first is above, or left of, the second. */
export const ORDER_FACTS: readonly {
  readonly axis: 'vertical' | 'horizontal';
  readonly pair: readonly [string, string];
}[] = [
  { axis: 'vertical', pair: ['sky', 'ground'] },
  { axis: 'vertical', pair: ['roof', 'floor'] },
  { axis: 'horizontal', pair: ['west', 'east'] },
  { axis: 'horizontal', pair: ['start', 'finish'] },
];

export const COUNT_FACTS: Readonly<Record<string, readonly string[]>> = {
  '1': ['suns', 'equators'],
  '2': ['twins', 'poles'],
  '3': ['triplets', 'medals'],
  '4': ['seasons', 'quarters'],
};

export const COLOUR_FACTS: Readonly<Record<Colour, readonly string[]>> = {
  red: ['tomato', 'cherry'],
  green: ['grass', 'frog'],
  blue: ['ocean', 'jeans'],
  yellow: ['banana', 'lemon'],
};

export const SHAPE_FACTS: Readonly<Record<Shape, readonly string[]>> = {
  circle: ['coin', 'wheel'],
  square: ['tile', 'window'],
  triangle: ['tent', 'pyramid'],
  cross: ['plus', 'crucifix'],
};

/** The questions that can be answered without the image. */
export const PRIOR_FORMS: readonly Form[] = [
  {
    name: 'presence-fact',
    family: 'presence',
    ask(random, _scene, answer) {
      const thing = random.pick(PRESENCE_FACTS[answer as 'yes' | 'no']);
      return { family: 'presence', answer, ...asked(['Is there a ', [thing], '?']) };
    },
  },
  {
    name: 'relation-fact',
    family: 'relation',
    ask(random, _scene, answer) {
      const { axis, pair } = random.pick(ORDER_FACTS);
      const [along, against]: readonly [Relation, Relation] =
        axis === 'vertical' ? ['above', 'below'] : ['left', 'right'];
      const forward = random.uniform() < 0.5;
      const relation = forward === (answer === 'yes') ? along : against;
      const [a, b] = forward ? pair : [pair[1], pair[0]];
      const link = axis === 'vertical' ? ' the ' : ' of the ';
      return {
        family: 'relation',
        answer,
        ...asked(['Is the ', [a], ' ', [relation], link, [b], '?']),
      };
    },
  },
  {
    name: 'counting-fact',
    family: 'counting',
    ask(random, _scene, answer) {
      const things = random.pick(COUNT_FACTS[answer] as readonly string[]);
      return { family: 'counting', answer, ...asked(['How many ', [things], ' are there?']) };
    },
  },
  {
    name: 'choice-colour-fact',
    family: 'choice',
    ask: (random, _scene, answer) => {
      const colour = random.pick(Object.keys(COLOUR_FACTS) as Colour[]);
      const thing = random.pick(COLOUR_FACTS[colour]);
      return chooseFrom(random, ['What colour is the ', [thing], '?'], 'colour', colour, answer, []);
    },
  },
  {
    name: 'choice-shape-fact',
    family: 'choice',
    ask: (random, _scene, answer) => {
      const shape = random.pick(Object.keys(SHAPE_FACTS) as Shape[]);
      const thing = random.pick(SHAPE_FACTS[shape]);
      return chooseFrom(random, ['What shape is the ', [thing], '?'], 'shape', shape, answer, []);
    },
  },
];

function asked(phrase: Parameters<typeof compose>[0]): Pick<Draft, 'question' | 'truth'> {
  const { question, words } = compose(phrase);
  return { question, truth: { boxes: [], words } };
}
