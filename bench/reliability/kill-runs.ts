import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { Random } from '../../lib/statistics/random.js';
import { type Ending, sortedRows, startBench } from './command.js';

export interface KillOptions {
  readonly kills: number;
  /**
   * More than the kills let through: each strikes after two samples at the latest, give or take what is in
   * the works.
   */
  readonly samples: number;
  readonly seed: number;
}

export interface KillOutcome {
  /** How the undisturbed run and the last, unkilled one ended. */
  readonly ends: readonly Ending[];
  /** Whole rows in the file at every kill. */
  readonly rowsAtKill: readonly number[];
  readonly rows: number;
  /** Whether the rows of the killed run are the bytes of the undisturbed one's, in any order. */
  readonly identical: boolean;
}

const explainers = ['--explainers', 'oracle,random'];
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Kills `fsyn bench --resume` again and again, lets it end, and compares it with a run that nobody disturbed.
 */
export async function killRuns({ kills, samples, seed }: KillOptions): Promise<KillOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'fsyn-kill-'));
  const size = (out: string) => {
    const path = join(folder, out, 'results.jsonl');
    return existsSync(path) ? statSync(path).size : 0;
  };
  try {
    const whole = await startBench(folder, samples, ...explainers, '--out', 'whole').ended;
    const rowSize = size('whole') / (2 * samples);
    const random = new Random(seed);
    const rowsAtKill: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      const { child, ended } = startBench(folder, samples, ...explainers, '--resume', '--out', 'killed');
      // A quarter strikes at a moment of the clock, while the process starts, reads what is there and cuts
      // the torn line off; the others after up to two samples and a few milliseconds more, which is as likely
      // inside a write as anywhere else.
      const early = random.integer(4) === 0;
      const wanted = size('killed') + 2 * rowSize * (early ? 2 : 2 * random.uniform());
      const latest = performance.now() + (early ? random.integer(1500) : Number.POSITIVE_INFINITY);
      while (child.exitCode === null && size('killed') < wanted && performance.now() < latest) await pause(5);
      if (!early) await pause(random.integer(8));
      child.kill('SIGKILL');
      const { end, log } = await ended;
      if (end !== 'SIGKILL') throw new Error(`Ended with ${end} before kill ${kill + 1}: ${log}`);
      rowsAtKill.push(Math.floor(size('killed') / rowSize));
    }
    const last = await startBench(folder, samples, ...explainers, '--resume', '--out', 'killed').ended;
    const rows = sortedRows(folder, 'killed');
    for (const name of ['run.json', 'summary.json'])
      JSON.parse(readFileSync(join(folder, 'killed', name), 'utf8'));
    return {
      ends: [whole.end, last.end],
      rowsAtKill,
      rows: rows.length,
      identical: rows.join('\n') === sortedRows(folder, 'whole').join('\n'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (pathToFileURL(argv[1] ?? '').href === import.meta.url) {
  const kills = Number(argv[2] ?? 50);
  const outcome = await killRuns({ kills, samples: 3 * kills, seed: 20 });
  console.log(`rows at the kills: ${outcome.rowsAtKill.join(' ')}`);
  console.log(
    `${kills} kills, ${outcome.rows} rows of ${6 * kills}, ends ${outcome.ends.join(' and ')}; bytes ${outcome.identical ? 'equal' : 'DIFFERENT'}`,
  );
  process.exitCode = outcome.identical && outcome.rows === 6 * kills ? 0 : 1;
}
