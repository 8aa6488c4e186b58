// What stopping when the ranking is certain costs and saves: rankings of samples drawn from the stored rows.
//
//   node dist/bench/studies/stopping.js [RUNS]     the tables of docs/ranking-measured.md

import { defaultSteps } from '../../lib/metrics/steps.js';
import { synergyBound } from '../../lib/metrics/synergy-bound.js';
import { Random } from '../../lib/statistics/random.js';
import { type Guarantee, guarantees } from '../../lib/statistics/sequential.js';
import { SequentialRanking } from '../../lib/statistics/sequential-ranking.js';
import { holm, signedRankTest } from '../../lib/statistics/tests.js';
import { readStudy, type StudySample, scoreOf } from './rows.js';

const runs = Number(process.argv[2] ?? 10_000);
const alpha = 0.05;
const bound = synergyBound(defaultSteps);
const all = readStudy().filter(({ behaviour }) => behaviour === 'both');

type Draw = (random: Random) => ReadonlyMap<string, number>;

console.log('| rows | guarantee | at most | runs | runs with a false order | certain before the end |');
console.log('|---|---|---|---|---|---|');
for (const model of [...new Set(all.map((sample) => sample.model))]) {
  const samples = all.filter((sample) => sample.model === model);
  for (const guarantee of guarantees) falseOrders(model, samples, guarantee);
}
console.log(
  '\n| rows | guarantee | order asked for | samples, mean (90 %) | rows measured of those of all explainers | certain |',
);
console.log('|---|---|---|---|---|---|');
for (const model of [...new Set(all.map((sample) => sample.model))]) {
  const samples = all.filter((sample) => sample.model === model);
  const names = Object.keys(samples[0].rows).filter((name) => !['oracle', 'anti-oracle'].includes(name));
  for (const guarantee of guarantees) {
    savings(model, samples, guarantee, ['oracle', 'random'], ['oracle', 'random']);
    savings(model, samples, guarantee, names);
  }
  console.log(`| ${model} | fixed n, Holm | Oracle, Random | ${fixed(samples, ['oracle', 'random'])} | | |`);
  console.log(`| ${model} | fixed n, Holm | whole | ${fixed(samples, names)} | | |`);
}

/**
 * Oracle, Random, and two that are equal in distribution: Occlusion and Random whose names are swapped by a
 * coin. Looked at after every one of 200 samples; an order of the two equal ones is false whichever it is.
 */
function falseOrders(model: string, samples: readonly StudySample[], guarantee: Guarantee): void {
  const most = 200;
  const names = ['oracle', 'anti-oracle', 'heads', 'tails'];
  const draw: Draw = (random) => {
    const sample = samples[random.integer(samples.length)];
    const equal = [scoreOf(sample, 'occlusion', 'raw'), scoreOf(sample, 'random', 'raw')];
    const heads = random.integer(2);
    return new Map([
      ['oracle', scoreOf(sample, 'oracle', 'raw')],
      ['anti-oracle', scoreOf(sample, 'anti-oracle', 'raw')],
      ['heads', equal[heads]],
      ['tails', equal[1 - heads]],
    ]);
  };
  const middle = (mean(samples, 'occlusion') + mean(samples, 'random')) / 2;
  const means = new Map([
    ['oracle', mean(samples, 'oracle')],
    ['anti-oracle', mean(samples, 'anti-oracle')],
    ['heads', middle],
    ['tails', middle],
  ]);
  let wrong = 0;
  let certain = 0;
  for (let run = 0; run < runs; run++) {
    const { ranking } = rank(draw, names, guarantee, most, run);
    if (ranking.certain.some(({ above, below }) => means.get(above)! <= means.get(below)!)) wrong++;
    if (ranking.isCertain) certain++;
  }
  console.log(
    `| ${model} | ${guarantee} | ${most} samples | ${runs} | ${wrong} (${percent(wrong / runs)}) | ${certain} |`,
  );
}

function savings(
  model: string,
  samples: readonly StudySample[],
  guarantee: Guarantee,
  names: readonly string[],
  pair?: readonly [string, string],
): void {
  const most = 1500;
  const tries = Math.min(runs, 200);
  const used: number[] = [];
  let rows = 0;
  let certain = 0;
  const draw: Draw = (random) => {
    const sample = samples[random.integer(samples.length)];
    return new Map(names.map((name) => [name, scoreOf(sample, name, 'raw')]));
  };
  for (let run = 0; run < tries; run++) {
    const { ranking, count, measured } = rank(draw, names, guarantee, most, run, pair);
    used.push(count);
    rows += measured / (count * names.length) / tries;
    if (ranking.isCertain) certain++;
  }
  used.sort((a, b) => a - b);
  const average = used.reduce((sum, count) => sum + count, 0) / tries;
  const label = pair ? 'Oracle, Random' : `whole (${names.length})`;
  console.log(
    `| ${model} | ${guarantee} | ${label} | ${average.toFixed(0)} (${used[Math.floor(0.9 * tries)]}) | ${percent(rows)} | ${percent(certain / tries)} |`,
  );
}

function rank(
  draw: Draw,
  names: readonly string[],
  guarantee: Guarantee,
  most: number,
  seed: number,
  pair?: readonly [string, string],
) {
  const ranking = new SequentialRanking(names, { alpha, bound, guarantee, ...(pair && { pair }) });
  const random = new Random(seed);
  let count = 0;
  let measured = 0;
  for (; count < most && !ranking.isCertain; count++) {
    const values = draw(random);
    const open = ranking.open;
    measured += open.length;
    ranking.add(new Map(open.map((name) => [name, values.get(name)!])));
  }
  return { ranking, count, measured };
}

/** The smallest n at which 95 % of the draws have every pair told apart, all in the order of the means. */
function fixed(samples: readonly StudySample[], names: readonly string[]): string {
  const pairs = names.flatMap((one, i) => names.slice(i + 1).map((other): [string, string] => [one, other]));
  const random = new Random(3);
  for (const size of [6, 8, 10, 15, 20, 30, 40, 60, 80, 120, 200, 300, 500]) {
    let found = 0;
    for (let draw = 0; draw < 100; draw++) {
      const drawn = Array.from({ length: size }, () => samples[random.integer(samples.length)]);
      const columns = pairs.map(([a, b]) => drawn.map((s) => scoreOf(s, a, 'raw') - scoreOf(s, b, 'raw')));
      if (holm(columns.map((column) => signedRankTest(column).pValue)).every((p) => p < alpha)) found++;
    }
    if (found >= 95) return String(size);
  }
  return '> 500';
}

function mean(samples: readonly StudySample[], name: string): number {
  return samples.reduce((sum, sample) => sum + scoreOf(sample, name, 'raw'), 0) / samples.length;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 2 : 0)} %`;
}
