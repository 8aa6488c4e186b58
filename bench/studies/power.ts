// How many samples tell Oracle from Random at 95 %, by variant of F_syn: subsamples of the stored rows.
//
//   node dist/bench/studies/power.js                     the tables of docs/ranking-measured.md
//   node dist/bench/studies/power.js collect RESULTS...  new rows from results folders of fsyn bench
import { writeFileSync } from 'node:fs';
import { Random } from '../../lib/statistics/random.js';
import { signedRankTest } from '../../lib/statistics/tests.js';
import { collectStudy, readStudy, type StudySample, scoreOf, studyFile, type Variant } from './rows.js';

const sizes = [6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400];
const draws = 1000;

if (process.argv[2] === 'collect') {
  const rows = collectStudy(process.argv.slice(3)).map((row) => JSON.stringify(row));
  writeFileSync(studyFile, rows.map((row) => `${row}\n`).join(''));
  console.log(`${rows.length} samples in ${studyFile}`);
} else printTables(readStudy());

function printTables(all: readonly StudySample[]): void {
  const models = [...new Set(all.map(({ model }) => model))];
  const groups = models.flatMap((model) => {
    const own = all.filter((sample) => sample.model === model);
    return [
      { name: `${model}, all`, samples: own },
      { name: `${model}, needs both`, samples: own.filter(({ behaviour }) => behaviour === 'both') },
    ];
  });
  console.log(
    `| variant | ${groups.map(({ name, samples }) => `${name} (${samples.length})`).join(' | ')} |`,
  );
  console.log(`|---|${groups.map(() => '---|').join('')}`);
  const row = (label: string, size: (samples: readonly StudySample[]) => string) =>
    console.log(`| ${label} | ${groups.map(({ samples }) => size(samples)).join(' | ')} |`);
  for (const variant of ['raw', 'open', 'insertion', 'deletion', 'normalised', 'clipped'] as const)
    row(variant, (samples) =>
      needed(differences(samples, (s) => scoreOf(s, 'oracle', variant) - scoreOf(s, 'random', variant))),
    );
  for (const variant of ['raw', 'open', 'insertion', 'deletion'] as const)
    row(`${variant}, against random orders`, (samples) =>
      needed(differences(samples, (s) => scoreOf(s, 'oracle', variant) - (s.chance[variant] ?? Number.NaN))),
    );
  row('raw, not paired', (samples) => neededUnpaired(samples, 'raw'));
  console.log('');
  console.log('| mean of Oracle - Random, raw (standard deviation) |');
  for (const { name, samples } of groups) {
    const d = differences(samples, (s) => scoreOf(s, 'oracle', 'raw') - scoreOf(s, 'random', 'raw'));
    console.log(`| ${name}: ${mean(d).toFixed(3)} (${deviation(d).toFixed(3)}) |`);
  }
}

function differences(samples: readonly StudySample[], of: (sample: StudySample) => number): number[] {
  return samples.map(of).filter((value) => !Number.isNaN(value));
}

/**
 * The smallest size at which 95 % of the subsamples (drawn with replacement) have p < .05 for the right
 * order.
 */
function needed(values: readonly number[]): string {
  if (values.length < 6) return '-';
  return smallest((size, random) => {
    const drawn = Array.from({ length: size }, () => values[random.integer(values.length)]);
    return mean(drawn) > 0 && signedRankTest(drawn).pValue < 0.05;
  });
}

/** The same where Oracle and Random are measured on different samples, by the z-test of two means. */
function neededUnpaired(samples: readonly StudySample[], variant: Variant): string {
  if (samples.length < 6) return '-';
  return smallest((size, random) => {
    const draw = (name: string) =>
      Array.from({ length: size }, () => scoreOf(samples[random.integer(samples.length)], name, variant));
    const [a, b] = [draw('oracle'), draw('random')];
    const error = Math.sqrt((deviation(a) ** 2 + deviation(b) ** 2) / size);
    return mean(a) - mean(b) > 1.96 * error;
  });
}

function smallest(separates: (size: number, random: Random) => boolean): string {
  const random = new Random(17);
  for (const size of sizes) {
    let found = 0;
    for (let draw = 0; draw < draws; draw++) if (separates(size, random)) found++;
    if (found >= 0.95 * draws) return String(size);
    // Far from it now is far from it later: spare the larger sizes of a hopeless variant.
    if (size >= 100 && found < 0.2 * draws) break;
  }
  return `> ${sizes[sizes.length - 1]}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}
