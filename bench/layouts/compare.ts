/**
 * What fsyn makes of the layouts of published exports: `node dist/bench/layouts/compare.js DIR [--model NAME]
 * [--layout NAME] [--json FILE] `, where DIR was written by make.py. Every layout is scored on PyTorch's
 * golden cells, and on random ones together and one by one; and explained by every method.
 * `node dist/bench/layouts/table.js FILE` writes the table in docs/layouts.md.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CellTable } from '../../lib/cells/table.js';
import { EMBEDDED_MASKING } from '../../lib/datasets/embedded/dataset.js';
import { reasonOf } from '../../lib/errors.js';
import { integratedGradients } from '../../lib/explainers/integrated-gradients.js';
import { explainers } from '../../lib/explainers/registry.js';
import { CoalitionEvaluator } from '../../lib/inference/evaluator.js';
import type { DecoderWiring, EvaluatorProgram } from '../../lib/inference/program.js';
import { Session } from '../../lib/inference/session.js';
import { explain } from '../../lib/measure/evaluate.js';
import { defaultFaithfulness, requestFaithfulness } from '../../lib/metrics/faithfulness.js';
import { operatorTypes } from '../../lib/onnx/queries.js';
import { packageInfo } from '../../lib/package.js';
import { Random } from '../../lib/statistics/random.js';
import type { DecoderSample } from '../../lib/vlm/decoder/sample.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { loadVlm } from '../../lib/vlm/load.js';
import type { Vlm } from '../../lib/vlm/types.js';
import type { LayoutRow, Measured } from './rows.js';

interface Golden {
  readonly samples: readonly GoldenSample[];
}

interface GoldenSample {
  readonly image: string;
  readonly question: string;
  readonly answer: string;
  readonly choices: string[] | null;
  readonly cells: readonly { readonly image: string; readonly text: string }[];
  readonly remove: readonly (readonly number[])[];
  readonly attend: readonly (readonly number[])[];
}

type Masking = 'remove' | 'attend';

/** Cells and image states of the comparison with passes one by one: more than any batch holds. */
const RANDOM_CELLS = 24;
const RANDOM_IMAGES = 18;
const RANDOM_TEXTS = 12;
/** Passes that are timed one by one; their time is scaled to all cells of a sample. */
const TIMED = 6;
const ROUNDS = 3;
/** Golden samples: a question about presence and one about relation. */
const SAMPLES = 2;
const goldenFolder = join(packageInfo().root, 'tests', 'golden', 'embedded');

const bits = (text: string) => Array.from(text, Number);

async function prepare(vlm: Vlm, wanted: GoldenSample, textMasking: Masking): Promise<DecoderSample> {
  const sample = await vlm.prepare(await decodeImage(join(goldenFolder, wanted.image)), wanted.question, {
    ...EMBEDDED_MASKING,
    answer: wanted.answer,
    answerTokens: 'all',
    textMasking,
    ...(wanted.choices === null ? {} : { choices: wanted.choices }),
  });
  return sample as DecoderSample;
}

/** Largest difference of a probability from PyTorch's on the golden cells of a sample. */
async function fromPyTorch(sample: DecoderSample, golden: GoldenSample, masking: Masking): Promise<number> {
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  for (const { image, text } of golden.cells)
    table.cell(table.imageState(bits(image)), table.textState(bits(text)));
  const { logProbabilities, tokens } = await sample.evaluate(table);
  let worst = 0;
  for (const [cell, wanted] of golden[masking].entries()) {
    for (let k = 0; k < tokens; k++) {
      const apart = Math.abs(Math.exp(logProbabilities[cell * tokens + k]) - Math.exp(wanted[k]));
      worst = Math.max(worst, apart);
    }
  }
  return worst;
}

function randomCells(sample: DecoderSample, seed: number): CellTable {
  const random = new Random(seed);
  const table = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const state = (players: number) => Array.from({ length: players }, () => (random.uniform() < 0.5 ? 1 : 0));
  const images = Array.from({ length: RANDOM_IMAGES }, () => table.imageState(state(table.imagePlayers)));
  const texts = Array.from({ length: RANDOM_TEXTS }, () => table.textState(state(table.textPlayers)));
  for (let k = 0; k < RANDOM_CELLS; k++) {
    const pick = (states: number[]) => states[Math.floor(random.uniform() * states.length)];
    table.cell(pick(images), pick(texts));
  }
  return table;
}

/** The cells of all metrics for one attribution without ties. */
function metricCells(sample: DecoderSample): CellTable {
  const cells = new CellTable(sample.imagePlayers.count, sample.textPlayers.count);
  const scores = (count: number, frequency: number) =>
    Float64Array.from({ length: count }, (_, i) => Math.sin(i * frequency));
  const attribution = { image: scores(cells.imagePlayers, 12.9898), text: scores(cells.textPlayers, 78.233) };
  requestFaithfulness(cells, attribution, defaultFaithfulness);
  return cells;
}

/** Passes one by one, each with its own encoding, on the decoder's file as it is. */
class OneByOne {
  readonly #evaluator: CoalitionEvaluator;
  readonly #session: Session;

  private constructor(evaluator: CoalitionEvaluator, session: Session) {
    this.#evaluator = evaluator;
    this.#session = session;
  }

  static async of(sample: DecoderSample): Promise<OneByOne> {
    const path = sample.whiteBox.decoderModel;
    const operators = await operatorTypes(path);
    // Such an attention takes the mask's sum only. Where it rotates itself, the file cannot be made to
    // overlook a token at all.
    const overlooksHoles = operators.has('com.microsoft::GroupQueryAttention');
    const rotatesInside =
      overlooksHoles && !operators.has('com.microsoft::RotaryEmbedding') && !operators.has('Cos');
    const session = await Session.load(path);
    const program = sample.program();
    const { rows: _, positions, ...wiring } = program.wiring;
    const taken = session.inputs.some(({ name }) => name === positions) ? { positions } : {};
    const plain: EvaluatorProgram =
      rotatesInside && program.textMasking === 'remove'
        ? program
        : {
            ...program,
            wiring: { ...wiring, ...taken } as DecoderWiring,
            decoder: session,
            leaveOut: overlooksHoles,
          };
    const options = { workers: 1, sharing: 'none', cacheMemory: 1 } as const;
    return new OneByOne(await CoalitionEvaluator.create(plain, options), session);
  }

  async run(cells: CellTable, wanted: readonly number[]): Promise<Float64Array[]> {
    const rows: Float64Array[] = [];
    for (const cell of wanted) {
      const single = new CellTable(cells.imagePlayers, cells.textPlayers);
      single.copyCell(cells, cell);
      rows.push((await this.#evaluator.evaluate(single)).logProbabilities);
    }
    return rows;
  }

  dispose(): void {
    this.#session.dispose();
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function measure(vlm: Vlm, golden: readonly GoldenSample[]): Promise<Measured> {
  const pytorch = { remove: 0, attend: 0 };
  for (const masking of ['remove', 'attend'] as const) {
    for (const wanted of golden) {
      const apart = await fromPyTorch(await prepare(vlm, wanted, masking), wanted, masking);
      pytorch[masking] = Math.max(pytorch[masking], apart);
    }
  }
  const sample = await prepare(vlm, golden[0], 'remove');
  const cells = randomCells(sample, 17);
  const { logProbabilities, tokens, plan } = await sample.evaluate(cells);
  const single = await OneByOne.of(sample);
  try {
    let oneByOne = 0;
    for (const [cell, row] of (await single.run(cells, numbers(cells.cellCount))).entries()) {
      for (let k = 0; k < tokens; k++) {
        const apart = Math.abs(Math.exp(logProbabilities[cell * tokens + k]) - Math.exp(row[k]));
        oneByOne = Math.max(oneByOne, apart);
      }
    }
    const asked = metricCells(sample);
    const timed = numbers(TIMED).map((i) => Math.floor((i * asked.cellCount) / TIMED));
    const rounds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const evaluator = await CoalitionEvaluator.create(sample.program(), { workers: 1, cacheMemory: 1 });
      const shared = await seconds(() => evaluator.evaluate(asked));
      const slow = (await seconds(() => single.run(asked, timed))) * (asked.cellCount / TIMED);
      rounds.push(slow / shared);
    }
    rounds.sort((a, b) => a - b);
    const speedup = rounds[ROUNDS >> 1];
    return { pytorch, oneByOne, speedup, fallbacks: plan.fallbacks.map(({ code }) => code) };
  } finally {
    single.dispose();
  }
}

/** The methods that give no explanation, with what they say. */
async function failures(vlm: Vlm, golden: GoldenSample): Promise<Record<string, string>> {
  const sample = await prepare(vlm, golden, 'attend');
  const failed: Record<string, string> = {};
  for (const explainer of explainers.filter(({ needsTruth, byNameOnly }) => !needsTruth && !byNameOnly)) {
    try {
      const quick = explainer.name === 'integrated-gradients' ? integratedGradients({ steps: 2 }) : explainer;
      const { image, text } = await explain(sample, quick);
      if (![...image, ...text].every(Number.isFinite)) failed[explainer.name] = 'scores that are not finite';
    } catch (error) {
      failed[explainer.name] = reasonOf(error);
    }
  }
  return failed;
}

async function rowOf(folder: string, model: string, layout: string): Promise<LayoutRow> {
  const reason = join(folder, model, `${layout}.txt`);
  if (existsSync(reason)) return { model, layout, impossible: readFileSync(reason, 'utf8').trim() };
  const golden = (
    JSON.parse(readFileSync(join(goldenFolder, `${model}.json`), 'utf8')) as Golden
  ).samples.slice(0, SAMPLES);
  let vlm: Vlm;
  try {
    vlm = await loadVlm(join(folder, model, layout), { name: model, threads: 1 });
  } catch (error) {
    return { model, layout, failed: reasonOf(error) };
  }
  try {
    const measured = await measure(vlm, golden);
    return { model, layout, measured, explainers: await failures(vlm, golden[0]) };
  } catch (error) {
    return { model, layout, failed: reasonOf(error) };
  } finally {
    vlm.dispose();
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', multiple: true },
    layout: { type: 'string', multiple: true },
    json: { type: 'string' },
  },
});
const [folder] = positionals;
if (folder === undefined) throw new Error('Expected the folder that make.py wrote.');
// Rows that are there already are replaced one by one.
const rows: LayoutRow[] =
  values.json && existsSync(values.json)
    ? (JSON.parse(readFileSync(values.json, 'utf8')) as LayoutRow[])
    : [];
for (const model of values.model ?? readdirSync(folder).sort()) {
  const found = readdirSync(join(folder, model)).map((name) => name.replace(/\.txt$/, ''));
  for (const layout of values.layout ?? [...new Set(found)].sort()) {
    const row = await rowOf(folder, model, layout);
    const known = rows.findIndex((other) => other.model === model && other.layout === layout);
    rows.splice(known < 0 ? rows.length : known, known < 0 ? 0 : 1, row);
    console.error(JSON.stringify(row));
    if (values.json) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`);
  }
}
