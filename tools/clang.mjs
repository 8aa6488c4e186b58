// Runs clang-format and clang-tidy over our C++ and CUDA sources:
// `node tools/clang.mjs format [--write] | tidy [FILE...]`.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';

const require = createRequire(import.meta.url);
const [mode, ...rest] = process.argv.slice(2);
const tracked = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', 'native', 'bindings', 'tests/native', 'bench/micro'],
  {
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((file) => /\.(cpp|hpp|h|inc|cu|cuh)$/.test(file) && existsSync(file));

function firstWorking(candidates) {
  return candidates.find((command) => spawnSync(command, ['--version']).status === 0);
}

function run(command, args) {
  const result = spawnSync(command, args, { stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

/**
 * Whether clang-tidy finds nothing in a file; prints what it finds, without its counts of suppressed
 * warnings.
 */
function isTidy(binary, file) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, ['-p', 'build', '--quiet', file]);
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      const found = output.replace(/^\d+ warnings? generated\.\n/gm, '');
      if (status !== 0) console.error(`${file}\n${found}`);
      resolve(status === 0);
    });
  });
}

/** Checks one file per core at a time: one process for all of them takes a quarter of an hour. */
async function tidy(binary, files) {
  const left = [...files];
  let untidy = 0;
  const worker = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift())
      if (!(await isTidy(binary, file))) untidy++;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return untidy;
}

if (mode === 'format') {
  // The npm package pins one version, so that every machine formats alike.
  const { getNativeBinary } = require('clang-format');
  const binary = getNativeBinary();
  run(binary, rest[0] === '--write' ? ['-i', ...tracked] : ['--dry-run', '--Werror', ...tracked]);
  console.log(`clang-format: ${tracked.length} files`);
} else if (mode === 'tidy') {
  const binary = firstWorking(['clang-tidy', 'clang-tidy-19', 'clang-tidy-16', 'clang-tidy-14']);
  const ours = tracked.filter((file) => file.endsWith('.cpp') && !file.startsWith('tests/'));
  const sources = rest.length > 0 ? rest : ours;
  if (!binary) {
    console.error('clang-tidy: NOT RUN, no clang-tidy on this machine (Debian: apt-get install clang-tidy)');
  } else if (!existsSync('build/compile_commands.json')) {
    console.error('clang-tidy needs build/compile_commands.json: run `npm run build:native` first');
    process.exit(1);
  } else {
    const untidy = await tidy(binary, sources);
    console.log(`clang-tidy: ${sources.length} files, ${untidy} with findings`);
    if (untidy > 0) process.exit(1);
  }
} else {
  console.error('usage: node tools/clang.mjs format [--write] | tidy [FILE...]');
  process.exit(2);
}
