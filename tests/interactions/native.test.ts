import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { built } from '../built.js';

// Built by CMake only; a node-gyp build has no test executables.
const run = (name: string, args: readonly string[]) =>
  spawnSync(built(name) ?? name, args, { encoding: 'utf8', timeout: 300_000 });

for (const name of ['interactions_test', 'least_squares_test']) {
  test.skipIf(built(name) === null)(`the C++ tests pass: ${name}`, { timeout: 300_000 }, () => {
    const result = run(name, []);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/\d+ checks, 0 failures/);
  });
}

const fake = built('libfake_cuda.so');

test.skipIf(fake === null || built('cuda_interactions_test') === null)(
  'what the plugin’s client makes of a plugin equals the processor’s results',
  () => {
    const result = run('cuda_interactions_test', [fake!]);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/Imitation device[\s\S]*0 failures/);
  },
);

const emulated = built('libcuda_emulated.so');

test.skipIf(emulated === null || built('cuda_interactions_test') === null)(
  'the CUDA kernels of interactions, run on the processor, agree with their CPU twins',
  { timeout: 300_000 },
  () => {
    const result = run('cuda_interactions_test', [emulated!]);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/emulated on the processor[\s\S]*0 failures/);
  },
);

const plugin = built('libfsyn_cuda.so');

test.skipIf(plugin === null || built('cuda_interactions_test') === null)(
  'the CUDA kernels of interactions agree with their CPU twins',
  { timeout: 300_000 },
  ({ skip }) => {
    const result = run('cuda_interactions_test', [plugin!]);
    if (result.status === 77) skip(`not run: no GPU. ${result.stdout.trim()}`);
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/0 failures/);
  },
);
