import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { packageInfo } from '../../lib/package.js';
import { sortedRows, startBench } from './command.js';
import { type RedisServer, redisProgram, startRedis } from './redis-server.js';

const explainers = ['--explainers', 'oracle,random'];
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

interface RunningWorker {
  readonly child: ChildProcess;
  readonly log: () => string;
}

function startWorker(folder: string, { url }: RedisServer, ...args: readonly string[]): RunningWorker {
  const main = join(packageInfo().root, 'dist/lib/cli/main.js');
  const options = ['--queue', url, '--threads', '1', '--lock', '2', ...args];
  const child = spawn(process.execPath, [main, 'worker', ...options], { cwd: folder });
  let log = '';
  child.stdout.on('data', (text) => (log += text));
  child.stderr.on('data', (text) => (log += text));
  return { child, log: () => log };
}

function rowsOf(folder: string, out: string): number {
  try {
    return readFileSync(join(folder, out, 'results.jsonl'), 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
}

async function stop(workers: readonly RunningWorker[]): Promise<void> {
  for (const { child } of workers) child.kill('SIGTERM');
  for (const { child } of workers)
    while (child.exitCode === null && child.signalCode === null) await pause(20);
}

/**
 * Four workers, of which two are killed, as are the server and the coordinator, while they measure: the rows
 * must be those of a run that nobody disturbed.
 */
async function kills(folder: string, redis: RedisServer, samples: number): Promise<boolean> {
  const whole = await startBench(folder, samples, ...explainers, '--out', 'whole').ended;
  const workers = Array.from({ length: 4 }, () => startWorker(folder, redis));
  const start = performance.now();
  const run = startBench(folder, samples, ...explainers, '--out', 'queued', '--queue', redis.url);
  const at = async (share: number, what: string, work: () => Promise<void> | void) => {
    while (run.child.exitCode === null && rowsOf(folder, 'queued') < share * 2 * samples) await pause(10);
    if (run.child.exitCode !== null) throw new Error(`Ended before: ${what}`);
    await work();
    console.log(`${what} at ${rowsOf(folder, 'queued')} of ${2 * samples} rows`);
  };
  await at(0.2, 'killed a worker', () => void workers[0].child.kill('SIGKILL'));
  await at(0.35, 'killed the server for a second', async () => {
    await redis.kill();
    await pause(1000);
    await redis.start();
  });
  await at(0.55, 'killed another worker', () => void workers[1].child.kill('SIGKILL'));
  await at(0.7, 'killed the coordinator', () => void run.child.kill('SIGKILL'));
  await run.ended;
  await pause(3000);
  const resume = ['--resume', '--out', 'queued', '--queue', redis.url];
  const { end, log } = await startBench(folder, samples, ...explainers, ...resume).ended;
  const seconds = (performance.now() - start) / 1000;
  await stop(workers);
  const [expected, found] = [sortedRows(folder, 'whole'), sortedRows(folder, 'queued')];
  const identical = expected.join('\n') === found.join('\n');
  const measured = workers.map((one) => one.log().match(/(\d+) samples measured, /g)?.length ?? 0);
  console.log(
    `${found.length} rows of ${2 * samples}, ${new Set(found).size} different, in ${seconds.toFixed(0)} s; ends ${whole.end} and ${end}; ` +
      `samples by worker ${measured.join(', ')}; bytes ${identical ? 'equal' : 'DIFFERENT'}`,
  );
  const secret = log.includes(redis.password) || workers.some((one) => one.log().includes(redis.password));
  if (secret) console.log('A message holds the password.');
  return identical && found.length === 2 * samples && end === 0 && !secret;
}

/** A sample that kills every worker that takes it: after three its rows fail, and the others are measured. */
async function poison(folder: string, redis: RedisServer): Promise<boolean> {
  const file = join(folder, 'killer.mjs');
  writeFileSync(
    file,
    `export default {
      name: 'killer', title: 'Killer', reference: 'none', needsTruth: false,
      async attribute({ sample, identity }) {
        if (identity.sample.endsWith('-1')) process.kill(process.pid, 'SIGKILL');
        return { image: new Float64Array(sample.imagePlayers.count).map((_, i) => i), text: new Float64Array(sample.textPlayers.count).map((_, i) => i) };
      },
    };\n`,
  );
  const workers = Array.from({ length: 4 }, () => startWorker(folder, redis, '--explainers', './killer.mjs'));
  const killer = ['--explainers', './killer.mjs', '--out', 'poison', '--queue', redis.url];
  const { end, log } = await startBench(folder, 6, ...killer).ended;
  await stop(workers);
  if (rowsOf(folder, 'poison') === 0) throw new Error(`No rows: ${log}`);
  const rows = sortedRows(folder, 'poison').map((line) => JSON.parse(line));
  const failed = rows.filter(({ status }) => status === 'failed');
  const dead = workers.filter(({ child }) => child.signalCode === 'SIGKILL').length;
  console.log(
    `${rows.length} rows of 6, ${failed.length} failed (${failed[0]?.error.message}), ${dead} workers dead, end ${end}`,
  );
  if (rows.length !== 6) console.log(log);
  return rows.length === 6 && failed.length === 1 && dead === 3 && end === 3;
}

if (pathToFileURL(argv[1] ?? '').href === import.meta.url) {
  const program = redisProgram();
  if (program === undefined) throw new Error('redis-server or valkey-server is not installed');
  const folder = mkdtempSync(join(tmpdir(), 'fsyn-queue-'));
  const redis = await startRedis(program);
  try {
    const passed = [await kills(folder, redis, Number(argv[2] ?? 60)), await poison(folder, redis)];
    process.exitCode = passed.every(Boolean) ? 0 : 1;
  } finally {
    await redis.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}
