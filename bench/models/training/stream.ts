/**
 * Writes training scenes to standard output, one JSON line each, for the training scripts beside it:
 *   node dist/bench/models/training/stream.js --scenes 1000 --seed 1 --objects 6,6 --turns 8 \
 *     --mix presence:1,relation:1,counting:1,choice:1,attribute:1,place:1 --priors 0.2 --signs 0.15
 * Fields: `pixels` (base64 of 64*64*3 bytes), `cells` (64 class numbers, see CELL_CLASSES), `turns`
 * ([question, answer, form]). With `--words` it writes the list of words of all questions and answers
 * instead.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { renderScene } from '../../../lib/datasets/embedded/render.js';
import { COLOURS, GRID, type Scene, SHAPES, SIGNS } from '../../../lib/datasets/embedded/scene.js';
import { SUBJECTS, type Subject, trainingScenes } from '../../../lib/datasets/embedded/turns.js';

/** What a cell shows, by class number: nothing, a coloured shape, clutter or a sign. */
export const CELL_CLASSES = [
  'empty',
  ...COLOURS.flatMap((colour) => SHAPES.map((shape) => `${colour} ${shape}`)),
  'clutter',
  ...SIGNS.map((text) => `sign ${text}`),
];

const WORD_SAMPLE = 20_000;

const { values } = parseArgs({
  options: {
    scenes: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    objects: { type: 'string', default: '6,6' },
    turns: { type: 'string', default: '8' },
    mix: { type: 'string', default: SUBJECTS.map((subject) => `${subject}:1`).join(',') },
    priors: { type: 'string', default: '0.2' },
    signs: { type: 'string', default: '0.15' },
    words: { type: 'boolean', default: false },
  },
});
const [low = 6, high = 6] = values.objects.split(',').map(Number);
const mix = Object.fromEntries(
  values.mix.split(',').map((part) => {
    const [subject = '', weight = '1'] = part.split(':');
    if (!SUBJECTS.includes(subject as Subject)) throw new Error(`--mix knows no ${subject}`);
    return [subject, Number(weight)];
  }),
);
const stream = trainingScenes({
  seed: Number(values.seed),
  objects: [low, high],
  turns: Number(values.turns),
  mix,
  priors: Number(values.priors),
  signs: Number(values.signs),
});

if (values.words) {
  const words = new Set<string>();
  for (let i = 0; i < WORD_SAMPLE; i++) {
    for (const { question, answer } of stream.next().value.turns) {
      for (const [position, word] of question.split(' ').entries()) {
        // The first word follows a newline and so carries no space.
        words.add(`${position > 0 ? ' ' : ''}${word.replace('?', '')}`);
      }
      words.add(` ${answer}`);
    }
  }
  process.stdout.write(`${JSON.stringify([...words].sort())}\n`);
} else {
  process.stdout.on('error', () => process.exit(0));
  for (let i = 0; i < Number(values.scenes); i++) {
    const { scene, turns } = stream.next().value;
    const line = {
      pixels: Buffer.from(renderScene(scene).data).toString('base64'),
      cells: cellClasses(scene),
      turns: turns.map(({ question, answer, form }) => [question, answer, form]),
    };
    if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, 'drain');
  }
}

function cellClasses(scene: Scene): number[] {
  const classes = new Array<number>(GRID * GRID).fill(0);
  const set = (cell: number, name: string) => {
    classes[cell] = CELL_CLASSES.indexOf(name);
  };
  for (const { cell, colour, shape } of scene.objects) set(cell, `${colour} ${shape}`);
  for (const cell of scene.clutter) set(cell, 'clutter');
  for (const cell of scene.sign?.cells ?? []) set(cell, `sign ${scene.sign?.text}`);
  return classes;
}
