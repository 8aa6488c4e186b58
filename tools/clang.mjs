// Runs clang-format and clang-tidy over our C++ and CUDA sources: `node tools/clang.mjs format [--write] | tidy`.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [mode, flag] = process.argv.slice(2);
const tracked = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', 'native', 'bindings', 'tests/native', 'bench/micro'],
  {
    encoding: 'utf8',
  },
)
  .split('\n')
  .filter((file) => /\.(cpp|hpp|cu|cuh)$/.test(file) && existsSync(file));

function firstWorking(candidates) {
  return candidates.find((command) => spawnSync(command, ['--version']).status === 0);
}

function run(command, args) {
  const result = spawnSync(command, args, { stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

if (mode === 'format') {
  // The npm package pins one version, so that every machine formats alike.
  const { getNativeBinary } = require('clang-format');
  const binary = getNativeBinary();
  run(binary, flag === '--write' ? ['-i', ...tracked] : ['--dry-run', '--Werror', ...tracked]);
  console.log(`clang-format: ${tracked.length} files`);
} else if (mode === 'tidy') {
  const binary = firstWorking(['clang-tidy', 'clang-tidy-19', 'clang-tidy-16', 'clang-tidy-14']);
  const sources = tracked.filter((file) => file.endsWith('.cpp') && !file.startsWith('tests/'));
  if (!binary) {
    console.error('clang-tidy: NOT RUN, no clang-tidy on this machine (Debian: apt-get install clang-tidy)');
  } else if (!existsSync('build/compile_commands.json')) {
    console.error('clang-tidy needs build/compile_commands.json: run `npm run build:native` first');
    process.exit(1);
  } else {
    run(binary, ['-p', 'build', '--quiet', ...sources]);
    console.log(`clang-tidy: ${sources.length} files`);
  }
} else {
  console.error('usage: node tools/clang.mjs format [--write] | tidy');
  process.exit(2);
}
