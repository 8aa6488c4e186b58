// Terminates workers while they work: `node terminations.mjs [times=200] [kind...]` at random moments of
// every kind of work, `--settling` at the one moment that matters most: while jobs that have finished are
// settled one by one. Prints a line per kind. A crash ends the process, so that the last line says what was
// being tried.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { works } from './work.mjs';

/** Blocks until jobs have finished and wait to be settled, says so, and blocks on. */
function holdUp() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
  parentPort.postMessage('settling');
  for (;;);
}

async function work({ kind, settling }) {
  const once = await works[kind]();
  if (settling) {
    for (let i = 0; i < 3; i++) once(holdUp).then(holdUp);
    return;
  }
  parentPort.postMessage('working');
  for (;;) await once();
}

async function terminate(kind, settling) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { kind, settling } });
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  if (!settling) await new Promise((resolve) => setTimeout(resolve, 60 * Math.random()));
  await worker.terminate();
}

async function main(args) {
  const settling = args.includes('--settling');
  const [times = '200', ...kinds] = args.filter((arg) => arg !== '--settling');
  for (const kind of kinds.length > 0 ? kinds : ['loads', 'runs', 'interactions', 'evaluations']) {
    process.stdout.write(`${kind}: `);
    for (let i = 0; i < Number(times); i++) await terminate(kind, settling);
    console.log(`${times} terminations`);
  }
}

if (isMainThread) await main(process.argv.slice(2));
else await work(workerData);
