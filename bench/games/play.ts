// Plays the embedded models as games of 8 image and 6 text players.
import { join } from 'node:path';
import { CellTable } from '../../lib/cells/table.js';
import { cellValues } from '../../lib/cells/values.js';
import {
  EMBEDDED_MASKING,
  type EmbeddedSample,
  embeddedDataset,
} from '../../lib/datasets/embedded/dataset.js';
import { FAMILIES } from '../../lib/datasets/embedded/questions.js';
import { packageInfo } from '../../lib/package.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { PreparedSample } from '../../lib/vlm/types.js';
import { GAME_IMAGE_PLAYERS, GAME_TEXT_PLAYERS, type ModelGame } from './read.js';

const MODELS = ['internvl-tiny', 'llava-tiny', 'qwen2_5_vl-tiny'];
/** Blocks of the image: this many columns and rows. */
const [COLUMNS, ROWS] = [4, 2];

/** The block of the image that holds the middle of every image player. */
function imageGroups({ image, imagePlayers }: PreparedSample): number[] {
  const [height, width] = image.shape;
  const part = (middle: number, size: number, parts: number) =>
    Math.min(Math.max(Math.floor((middle / size) * parts), 0), parts - 1);
  return Array.from({ length: imagePlayers.count }, (_, p) => {
    const [x0, y0, x1, y1] = imagePlayers.boxes.subarray(4 * p, 4 * p + 4);
    return part((y0 + y1) / 2, height, ROWS) * COLUMNS + part((x0 + x1) / 2, width, COLUMNS);
  });
}

/** Runs of consecutive words of the question. */
function textGroups({ textPlayers }: PreparedSample): number[] {
  return Array.from({ length: textPlayers.count }, (_, t) =>
    Math.floor((t * GAME_TEXT_PLAYERS) / textPlayers.count),
  );
}

function names(sample: PreparedSample): string[] {
  const words = Array.from({ length: GAME_TEXT_PLAYERS }, () => '');
  for (const [t, group] of textGroups(sample).entries()) words[group] += sample.textPlayers.labels[t];
  const blocks = Array.from(
    { length: GAME_IMAGE_PLAYERS },
    (_, g) => `row ${Math.floor(g / COLUMNS)}, column ${g % COLUMNS}`,
  );
  return [...blocks, ...words.map((text, g) => `${g}: ${text.trim()}`)];
}

/** Probability of the decision token for every coalition of blocks and runs, bit i of the index player i. */
async function play(sample: PreparedSample): Promise<Float32Array> {
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const members = (groups: readonly number[], mask: number) => groups.map((group) => (mask >> group) & 1);
  const [image, text] = [imageGroups(sample), textGroups(sample)];
  const cells = Int32Array.from({ length: 2 ** (GAME_IMAGE_PLAYERS + GAME_TEXT_PLAYERS) }, (_, mask) =>
    table.cell(
      table.imageState(members(image, mask % 2 ** GAME_IMAGE_PLAYERS)),
      table.textState(members(text, mask >> GAME_IMAGE_PLAYERS)),
    ),
  );
  const values = cellValues(await sample.evaluate(table), 'probability');
  return Float32Array.from(cells, (cell) => values[cell]);
}

/**
 * Of every family the grounded sample that the model is the `place`-th to answer right, with enough words to
 * group.
 */
async function* samplesOf(model: Awaited<ReturnType<typeof loadVlm>>, place: number) {
  for (const family of FAMILIES) {
    const dataset = embeddedDataset({ families: [family], size: 20 * place, split: 'test' });
    let found = 0;
    for await (const sample of dataset.samples()) {
      const prepared = await model.prepare(await sample.image(), sample.question, {
        ...EMBEDDED_MASKING,
        instruction: sample.instruction,
        choices: sample.choices,
      });
      const right = prepared.answer.text.trim().toLowerCase() === sample.answer.toLowerCase();
      if (!right || prepared.textPlayers.count < GAME_TEXT_PLAYERS || ++found < place) continue;
      yield [sample, prepared] as [EmbeddedSample, PreparedSample];
      break;
    }
  }
}

/** One game of every model and kind of question: on the first sample that fits, or on a later one. */
export async function* playModels(place = 1): AsyncGenerator<{ about: ModelGame; values: Float32Array }> {
  for (const name of MODELS) {
    const model = await loadVlm(join(packageInfo().root, 'bench', 'models', name, 'model'));
    for await (const [sample, prepared] of samplesOf(model, place)) {
      const about = {
        name: `${name}-${sample.family}`,
        fingerprint: model.fingerprint,
        sample: sample.id,
        answer: prepared.answer.text,
        players: names(prepared),
      };
      yield { about, values: await play(prepared) };
    }
    model.dispose();
  }
}
