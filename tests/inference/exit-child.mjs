// A process of its own for the exit tests: `node exit-child.mjs <way> <model>` ends in the given way during
// runs. It talks to the addon directly, because plain Node does not load TypeScript.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const require = createRequire(import.meta.url);
const addon = require('../../build/Release/fsyn.node');
// As lib/addon does.
if (isMainThread) process.once('exit', (code) => addon.leave(code));
const [way, model] = isMainThread ? process.argv.slice(2) : [workerData.way, workerData.model];

function library() {
  const folder = dirname(dirname(require.resolve('onnxruntime-node')));
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const name = { linux: 'libonnxruntime.so.1', darwin: 'libonnxruntime.dylib', win32: 'onnxruntime.dll' };
  return [join(folder, 'bin', 'napi-v6', process.platform, process.arch, name[process.platform]), version];
}

async function startRuns() {
  addon.loadRuntime(...library());
  const request = { path: model, label: model, providers: ['cpu'], threads: 1, optimization: 99 };
  const { handle } = await addon.createSession(request).promise;
  for (let i = 0; i < 2; i++) {
    const feeds = [
      { input: 0, data: new BigInt64Array([1n << 40n]), type: 7, shape: [] },
      { input: 1, data: new Float32Array(65536), type: 1, shape: [256, 256] },
    ];
    addon.runSession(handle, feeds, [{ output: 0, keep: false }]).promise.catch(() => {});
  }
}

async function started(worker) {
  await new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

const spawn = () => new Worker(new URL(import.meta.url), { workerData: { way, model } });

if (!isMainThread) {
  await startRuns();
  parentPort.postMessage('running');
  if (way === 'worker.exit') setTimeout(() => process.exit(0), 20);
} else if (way === 'worker.terminate') {
  const worker = spawn();
  await started(worker);
  await worker.terminate();
} else if (way === 'worker.exit') {
  const worker = spawn();
  const exit = new Promise((resolve) => worker.once('exit', resolve));
  await started(worker);
  process.exitCode = await exit;
} else if (way === 'many-workers') {
  for (let round = 0; round < 4; round++) {
    const workers = [spawn(), spawn()];
    await Promise.all(workers.map(started));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
} else {
  await startRuns();
  setTimeout(() => {
    if (way === 'process.exit') process.exit(7);
    throw new Error('thrown on purpose');
  }, 30);
}
