// Processor time that estimators spend outside the value function: drawing coalitions, bookkeeping,
// accumulation, least squares.
//
//   node dist/bench/micro/estimators.js [--json file] [--seconds 60]
//
// Every case is one call of `estimate` with a value function that costs next to nothing, whose own time is
// taken off. Processor time of all threads, so that other work on the machine does not count. Cases expected
// to take more than `--seconds` are left out, and said so.
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import {
  type EstimateOptions,
  estimate,
  FsynError,
  type ValueFunction,
} from '../../lib/interactions/index.js';

interface Case {
  readonly players: number;
  readonly estimator: EstimateOptions['estimator'];
  readonly order: number;
  readonly budget: number;
}

interface Row extends Case {
  readonly seconds: number | null;
  readonly microsecondsPerEvaluation: number | null;
  readonly note: string;
}

const BUDGETS = [1_000, 10_000, 100_000];
const ESTIMATORS: readonly EstimateOptions['estimator'][] = [
  'permutation',
  'svarm-iq',
  'shap-iq',
  'product',
  'regression',
  'kernel-shap-iq',
  'faithful',
];

const option = (name: string, otherwise: string) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const limit = Number(option('seconds', '60'));

function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Additive in the first word's bits, with one pair: cheap, and not constant. */
function cheap(spent: { seconds: number }): ValueFunction {
  return (batch) => {
    const begin = processorSeconds();
    const values = new Float64Array(batch.length);
    for (let i = 0; i < values.length; i++) {
      const word = batch.words[i * batch.stride];
      values[i] = (word & 0xffff) / 65536 + ((word & 3) === 3 ? 1 : 0);
    }
    spent.seconds += processorSeconds() - begin;
    return values;
  };
}

/** Multiplications of the fit, for cases that nobody would wait for. */
function fitFlops({ players, estimator, order, budget }: Case): number {
  if (estimator !== 'regression' && estimator !== 'kernel-shap-iq' && estimator !== 'faithful') return 0;
  const columns = order === 2 || estimator === 'regression' ? (players * (players + 1)) / 2 : players;
  return columns > budget ? 0 : 6 * budget * columns * columns;
}

async function measure(one: Case): Promise<Row> {
  const expected = fitFlops(one) / 2e10;
  if (expected > limit)
    return {
      ...one,
      seconds: null,
      microsecondsPerEvaluation: null,
      note: `not run: about ${expected.toPrecision(2)} s`,
    };
  const half = one.players / 2;
  const pairs =
    one.estimator === 'product'
      ? {
          image: Array.from({ length: half }, (_, i) => i),
          text: Array.from({ length: half }, (_, i) => half + i),
        }
      : null;
  const spent = { seconds: 0 };
  const begin = processorSeconds();
  try {
    const index = one.estimator === 'faithful' ? 'FSII' : 'SII';
    const { estimator, order, budget } = one;
    const found = await estimate(one.players, cheap(spent), {
      estimator,
      index,
      order,
      budget,
      pairs,
      seed: 1,
    });
    const seconds = processorSeconds() - begin - spent.seconds;
    const evaluations = found.provenance!.spent.evaluations;
    return { ...one, seconds, microsecondsPerEvaluation: (1e6 * seconds) / evaluations, note: '' };
  } catch (error) {
    if (!(error instanceof FsynError)) throw error;
    return { ...one, seconds: null, microsecondsPerEvaluation: null, note: error.code };
  }
}

const rows: Row[] = [];
console.log(`${cpus()[0].model}, Node ${process.version}\n`);
console.log(
  '| n | estimator | order | budget | processor s outside the value function | us per evaluation |',
);
console.log('|---:|---|---:|---:|---:|---:|');
for (const players of [20, 200, 2000]) {
  for (const estimator of ESTIMATORS) {
    for (const order of estimator === 'product' ? [2] : [1, 2]) {
      for (const budget of BUDGETS) {
        const row = await measure({ players, estimator, order, budget });
        rows.push(row);
        const cells =
          row.seconds === null
            ? [row.note, '']
            : [row.seconds.toFixed(3), row.microsecondsPerEvaluation!.toFixed(1)];
        console.log(`| ${players} | ${estimator} | ${order} | ${budget} | ${cells.join(' | ')} |`);
      }
    }
  }
}
const json = option('json', '');
if (json) {
  const date = new Date().toISOString().slice(0, 10);
  const processor = cpus()[0].model;
  writeFileSync(json, `${JSON.stringify({ date, processor, node: process.version, rows }, null, 2)}\n`);
}
