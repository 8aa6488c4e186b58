// Runs the tests that reach native code under sanitizers:
// `node tools/sanitizers.mjs [address|thread] [test file...]`, both without a name. Builds into build/asan
// and build/tsan (GCC or Clang on Linux), then runs the C++ executables and the addon, in Node with the
// sanitizer's runtime loaded first. docs/reliability.md says what is off.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const compiler = process.env.CXX ?? 'g++';

const sanitizers = {
  address: {
    flags: 'address,undefined',
    build: 'build/asan',
    runtime: 'libasan.so',
    // What Node and V8 leave behind at exit is not ours.
    options: { ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  },
  thread: {
    flags: 'thread',
    build: 'build/tsan',
    runtime: 'libtsan.so',
    // Node and ONNX Runtime are not instrumented: what they do among themselves cannot be judged.
    options: { TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:halt_on_error=1:report_signal_unsafe=0' },
  },
};

/** The tests whose work is native. */
const tests = [
  'tests/inference',
  'tests/interactions',
  'tests/evaluator',
  'tests/faults',
  'tests/vlm/pixels.test.ts',
];

/** Asks for more memory than there is, which ends a process under sanitizers. */
const excluded = 'tests/evaluator/interruption.test.ts';

function run(command, args, env) {
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${signal ?? status}`);
}

function check(name, files) {
  const { flags, build, runtime, options } = sanitizers[name];
  const definitions = [`--CDFSYN_SANITIZE=${flags}`, '--CDFSYN_NATIVE_TESTS=ON', '--CDFSYN_CUDA=OFF'];
  run('npx', ['cmake-js', 'compile', '-O', build, ...definitions]);
  // The runtime must come first, and finds what it replaces only when the C++ library is there already.
  const library = (file) => execFileSync(compiler, [`-print-file-name=${file}`], { encoding: 'utf8' }).trim();
  const preload = `${library(runtime)} ${library('libstdc++.so')}`;
  const vitest = [
    join('node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--testTimeout=600000',
    `--exclude=${excluded}`,
    ...files,
  ];
  run(process.execPath, vitest, { ...options, FSYN_BUILD: build, LD_PRELOAD: preload });
  console.log(`${name}: nothing found`);
}

const args = process.argv.slice(2);
const names = Object.hasOwn(sanitizers, args[0]) ? [args.shift()] : Object.keys(sanitizers);
run('npm', ['run', 'build:ts']);
for (const name of names) check(name, args.length > 0 ? args : tests);
