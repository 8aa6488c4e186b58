import { fork } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FsynError } from '../../lib/errors.js';
import { inputKinds } from './inputs.js';

/**
 * `node dist/bench/reliability/fuzz.js [thousands=100] [kinds...]`: gives fsyn so many thousand mutated
 * files, in processes that are watched, and prints how many were taken and refused, which errors had no code,
 * and what ended or held a process.
 */

const share: Readonly<Record<string, number>> = {
  '.npy': 0.5,
  'JSON Lines': 0.25,
  JSON: 0.1,
  images: 0.08,
  Parquet: 0.04,
  ONNX: 0.03,
};
/** Seconds that one input may take. */
const patience = 10;
const batch = 500;

interface Tally {
  taken: number;
  refused: Record<string, number>;
  uncoded: Record<string, number>;
  slowest: number;
}

/** In the child: uses some inputs and says what came of them. */
async function work(kindName: string, from: number, count: number, scratch: string): Promise<void> {
  const root = resolve(fileURLToPath(new URL('../../..', import.meta.url)));
  const kind = inputKinds(root, scratch).find(({ name }) => name === kindName)!;
  const current = openSync(join(scratch, 'current'), 'w');
  const tally: Tally = { taken: 0, refused: {}, uncoded: {}, slowest: 0 };
  for (let number = from; number < from + count; number++) {
    writeSync(current, String(number).padEnd(12), 0);
    const begun = performance.now();
    try {
      await kind.use(number);
      tally.taken++;
    } catch (error) {
      const coded = error instanceof FsynError;
      const key = coded
        ? error.code
        : `${number}: ${(error as Error)?.stack?.split('\n').slice(0, 3).join(' ')}`;
      const counts = coded ? tally.refused : tally.uncoded;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    tally.slowest = Math.max(tally.slowest, performance.now() - begun);
  }
  process.send!(tally, () => process.exit(0));
}

/** In the parent: one batch in a process of its own; the number at which it ended or hung, if it did. */
function watch(
  kind: string,
  from: number,
  count: number,
): Promise<{ tally?: Tally; at: number; why?: string }> {
  const scratch = mkdtempSync(join(tmpdir(), 'fsyn-fuzz-'));
  const child = fork(fileURLToPath(import.meta.url), ['--work', kind, String(from), String(count), scratch], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: ['--max-old-space-size=3000'],
  });
  let tally: Tally | undefined;
  let hung = false;
  let last = '';
  let since = performance.now();
  const number = () => {
    try {
      return readFileSync(join(scratch, 'current'), 'utf8').trim();
    } catch {
      return '';
    }
  };
  const timer = setInterval(() => {
    const now = number();
    if (now !== last) {
      last = now;
      since = performance.now();
    } else if (performance.now() - since > patience * 1000) {
      hung = true;
      child.kill('SIGKILL');
    }
  }, 500);
  child.once('message', (message) => {
    tally = message as Tally;
  });
  return new Promise((done) =>
    child.once('exit', (code, signal) => {
      clearInterval(timer);
      const at = Number(number() || from);
      rmSync(scratch, { recursive: true, force: true });
      if (tally !== undefined) done({ tally, at });
      else done({ at, why: hung ? 'hang' : `crash (${signal ?? code})` });
    }),
  );
}

async function run(thousands: number, kinds: readonly string[]): Promise<void> {
  for (const [kind, part] of Object.entries(share)) {
    if (kinds.length > 0 && !kinds.includes(kind)) continue;
    const total = Math.round(thousands * 1000 * part);
    const sum: Tally = { taken: 0, refused: {}, uncoded: {}, slowest: 0 };
    const ends: string[] = [];
    for (let from = 0; from < total; ) {
      const count = Math.min(batch, total - from);
      const { tally, at, why } = await watch(kind, from, count);
      if (tally !== undefined) {
        sum.taken += tally.taken;
        sum.slowest = Math.max(sum.slowest, tally.slowest);
        for (const field of ['refused', 'uncoded'] as const)
          for (const [key, value] of Object.entries(tally[field]))
            sum[field][key] = (sum[field][key] ?? 0) + value;
        from += count;
        continue;
      }
      ends.push(`${why} at ${at}`);
      from = at + 1;
    }
    const refused = Object.entries(sum.refused).map(([code, n]) => `${code} ${n}`);
    console.log(
      `${kind}: ${total} inputs, ${sum.taken} taken, refused: ${refused.join(', ')}; slowest ${(sum.slowest / 1000).toFixed(1)} s; ` +
        `${ends.length} crashes and hangs ${ends.join(', ')}; ${Object.keys(sum.uncoded).length} errors without a code`,
    );
    for (const key of Object.keys(sum.uncoded).slice(0, 20)) console.log(`  ${key}`);
    if (ends.length + Object.keys(sum.uncoded).length > 0) process.exitCode = 1;
  }
}

const [first, ...rest] = process.argv.slice(2);
if (first === '--work') await work(rest[0]!, Number(rest[1]), Number(rest[2]), rest[3]!);
else await run(Number(first ?? 100), rest);
