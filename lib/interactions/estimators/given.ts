import { FsynError, invalidArgument } from '../../errors.js';
import { CoalitionBatch } from '../coalitions.js';
import type { PlayerList, Players } from '../players.js';
import { binomial } from '../weights.js';
import type { CoalitionSample } from './sample.js';

/** Coalitions as a batch, or as the present players of each. */
export type Coalitions = CoalitionBatch | readonly PlayerList[];

/**
 * The sample that given coalitions are when each size is a uniform draw: a size with all its coalitions is
 * enumerated, of the others the share among the coalitions is their probability.
 */
export function givenSample(
  players: Players,
  coalitions: Coalitions,
  values: ArrayLike<number>,
): { sample: CoalitionSample; values: Float64Array } {
  const batch = toBatch(players, coalitions);
  checkValues(values, batch.length);
  const { rows, counts } = distinct(batch, values, players);
  const own = batch.pick(rows);
  const sizes = Int32Array.from(rows, (_, i) => sizeOf(own, i));
  for (const [size, name] of [
    [0, 'empty'],
    [players.count, 'full'],
  ] as const) {
    if (!sizes.includes(size))
      throw invalidArgument('coalitions', `the ${name} coalition among them`, `${batch.length} others`);
  }
  const [found, drawn] = [new Float64Array(players.count + 1), new Float64Array(players.count + 1)];
  for (const [i, size] of sizes.entries()) {
    found[size]++;
    drawn[size] += counts[i];
  }
  const whole = found.map((count, size) => (count >= binomial(players.count, size) ? 1 : 0));
  const draws = drawn.reduce((sum, count, size) => sum + (whole[size] ? 0 : count), 0);
  return {
    sample: {
      coalitions: own,
      sizes,
      counts: Float64Array.from(counts, (count, i) => (whole[sizes[i]] ? 1 : count)),
      sampled: Uint8Array.from(sizes, (size) => 1 - whole[size]),
      sizeProbability: Float64Array.from(sizes, (size) => (whole[size] ? 1 : drawn[size] / draws)),
    },
    values: Float64Array.from(rows, (row) => values[row]),
  };
}

function toBatch(players: Players, coalitions: Coalitions): CoalitionBatch {
  if (coalitions instanceof CoalitionBatch) {
    if (coalitions.players !== players.count)
      throw invalidArgument('coalitions', `coalitions of ${players.count} players`, coalitions.players);
    return coalitions;
  }
  if (!Array.isArray(coalitions))
    throw invalidArgument('coalitions', 'a CoalitionBatch or an array of lists of players', coalitions);
  const stride = Math.ceil(players.count / 32);
  const words = new Uint32Array(coalitions.length * stride);
  for (const [i, members] of coalitions.entries()) {
    for (const player of players.sorted(members, `coalitions[${i}]`))
      words[i * stride + (player >>> 5)] |= 1 << (player & 31);
  }
  return new CoalitionBatch(players.count, words);
}

function checkValues(values: ArrayLike<number>, count: number): void {
  if (values === null || typeof values !== 'object' || values.length !== count)
    throw invalidArgument('values', `${count} numbers, one per coalition`, values?.length ?? values);
  for (let i = 0; i < count; i++)
    if (typeof values[i] !== 'number' || !Number.isFinite(values[i]))
      throw invalidArgument(`values[${i}]`, 'a finite number', values[i]);
}

/** The first row of every coalition and how often each is there. */
function distinct(batch: CoalitionBatch, values: ArrayLike<number>, players: Players) {
  const index = new Map<string, number>();
  const rows: number[] = [];
  const counts: number[] = [];
  for (let i = 0; i < batch.length; i++) {
    const key = batch.words.subarray(i * batch.stride, (i + 1) * batch.stride).join();
    const known = index.get(key);
    if (known === undefined) {
      index.set(key, rows.length);
      rows.push(i);
      counts.push(1);
      continue;
    }
    const first = rows[known];
    if (values[first] !== values[i]) {
      const members = Array.from({ length: players.count }, (_, p) => p).filter((p) => batch.has(i, p));
      throw new FsynError(
        'INVALID_ARGUMENT',
        `The coalition {${members.map((p) => players.label(p)).join(', ')}} has two values: ` +
          `${values[first]} as number ${first} and ${values[i]} as number ${i}.`,
      );
    }
    counts[known]++;
  }
  return { rows, counts };
}

function sizeOf(batch: CoalitionBatch, i: number): number {
  let size = 0;
  for (let player = 0; player < batch.players; player++) if (batch.has(i, player)) size++;
  return size;
}
