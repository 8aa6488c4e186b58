/**
 * Held-out questions with a planted shortcut, with the truth about both: where the object is and where the
 * shortcut.
 */
import { EMBEDDED_MASKING } from '../../lib/datasets/embedded/dataset.js';
import { Random } from '../../lib/datasets/embedded/random.js';
import { renderScene } from '../../lib/datasets/embedded/render.js';
import type { Dataset, Grounding, Sample } from '../../lib/datasets/types.js';
import { askTwin, drawTwinScene, type Shortcut, type TwinQuestion, VERDICTS } from './scenes.js';

export interface TwinSample extends Sample, Pick<TwinQuestion, 'seen' | 'told' | 'object' | 'shortcut'> {
  readonly kind: Shortcut;
}

export interface TwinDataset extends Dataset {
  samples(): AsyncGenerator<TwinSample>;
}

/** What a model needs that follows the shortcut. */
const NEEDS: Readonly<Record<Shortcut, Grounding>> = {
  none: 'grounded',
  mark: 'image-prior',
  word: 'text-prior',
  corner: 'grounded',
};
const MAX_ATTEMPTS = 1000;

/**
 * Questions of one kind, in turn with what objects and shortcut say: yes-no, no-yes, and with `agreeing` also
 * yes-yes and no-no. `follows` decides the expected answer and the ground truth.
 */
export function twinDataset(options: {
  readonly kind: Shortcut;
  readonly size: number;
  readonly seed: number;
  readonly agreeing: boolean;
  readonly follows: 'object' | 'shortcut';
}): TwinDataset {
  const { kind, size, seed, agreeing, follows } = options;
  const all = VERDICTS.flatMap((seen) => VERDICTS.map((told) => ({ seen, told })));
  const verdicts = all.filter(({ seen, told }) => agreeing || kind === 'none' || seen !== told);
  const fitting = kind === 'none' ? verdicts.filter(({ seen, told }) => seen === told) : verdicts;
  return {
    name: `twins-${kind}`,
    version: `1-${seed}-${agreeing}-${follows}`,
    size,
    masking: EMBEDDED_MASKING,
    async *samples() {
      for (let index = 0; index < size; index++) {
        const { seen, told } = fitting[index % fitting.length] as (typeof all)[number];
        yield drawSample(new Random(`twins-test:${seed}:${kind}:${index}`), kind, seen, told, {
          id: `${kind}-${seed}-${index}`,
          follows,
        });
      }
    },
  };
}

function drawSample(
  random: Random,
  kind: Shortcut,
  seen: 'yes' | 'no',
  told: 'yes' | 'no',
  { id, follows }: { readonly id: string; readonly follows: 'object' | 'shortcut' },
): TwinSample {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const from = drawTwinScene(random, kind, 'test');
    const asked = askTwin(random, from, seen, told);
    if (asked === undefined) continue;
    return {
      id,
      kind,
      family: kind,
      grounding: follows === 'object' ? 'grounded' : NEEDS[kind],
      ...asked,
      answer: follows === 'object' ? seen : told,
      truth: asked[follows],
      image: async () => renderScene(from.scene),
    };
  }
  throw new Error(`no scene for ${id}`);
}
