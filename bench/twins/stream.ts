/**
 * Writes training scenes of the twins to standard output, one JSON line each, without end:
 *   node dist/bench/twins/stream.js --seed 1 --turns 16
 * Fields: `pixels` (base64 of 64*64*3 bytes), `turns` ([question, what the objects say, what the shortcut
 * says, kind]). Nine of ten questions carry a shortcut, the three kinds in turn.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Random } from '../../lib/datasets/embedded/random.js';
import { renderScene } from '../../lib/datasets/embedded/render.js';
import {
  askTwin,
  drawTwinScene,
  type Shortcut,
  type TwinQuestion,
  type TwinScene,
  VERDICTS,
} from './scenes.js';

/** Kinds of scenes in turn: one in ten without a shortcut. */
const CYCLE: readonly Shortcut[] = [
  'mark',
  'word',
  'corner',
  'mark',
  'word',
  'corner',
  'mark',
  'word',
  'corner',
  'none',
];
/**
 * The corner says little by its place alone, so all four combinations are kept within this many of each
 * other.
 */
const SLACK = 8;

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, turns: { type: 'string', default: '16' } },
});
const random = new Random(`twins:${values.seed}`);
const counts = new Map<string, number>();

process.stdout.on('error', () => process.exit(0));
for (let number = 0; ; number++) {
  const kind = CYCLE[number % CYCLE.length] as Shortcut;
  const from = drawTwinScene(random, kind, 'train');
  const turns = Array.from({ length: Number(values.turns) }, () => balanced(from)).filter(
    (turn) => turn !== undefined,
  );
  const line = {
    pixels: Buffer.from(renderScene(from.scene).data).toString('base64'),
    turns: turns.map(({ question, seen, told }) => [question, seen, told, kind]),
  };
  if (!process.stdout.write(`${JSON.stringify(line)}\n`)) await once(process.stdout, 'drain');
}

/** A question of one of the rarest combinations of what is seen and what is told. */
function balanced(from: TwinScene): TwinQuestion | undefined {
  const all = VERDICTS.flatMap((seen) =>
    VERDICTS.map((told) => ({ seen, told, key: `${from.kind} ${seen} ${told}` })),
  );
  const possible = from.kind === 'none' ? all.filter(({ seen, told }) => seen === told) : all;
  const count = (key: string) => counts.get(key) ?? 0;
  const rarest = Math.min(...possible.map(({ key }) => count(key)));
  for (const { seen, told, key } of random.shuffle(possible)) {
    if (count(key) > rarest + SLACK) continue;
    const turn = askTwin(random, from, seen, told);
    if (turn === undefined) continue;
    counts.set(key, count(key) + 1);
    return turn;
  }
  return undefined;
}
