import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runtime } from '../../lib/inference/runtime.js';
import { packageInfo } from '../../lib/package.js';
import { built } from '../built.js';
import { fixtures } from './support.js';

const tests = join(packageInfo().root, 'tests');

// Built by CMake only; a node-gyp build has no test executables.
for (const [name, folder] of [
  ['ort_api_test', fixtures],
  ['inference_test', fixtures],
  ['coalition_test', tests],
  ['scoring_test', undefined],
  ['imaging_test', undefined],
] as const) {
  const file = built(name);
  test.skipIf(file === null)(`the C++ tests pass: ${name}`, () => {
    const { path, version } = runtime();
    const args = folder === undefined ? [] : [path, version, folder];
    const result = spawnSync(file!, args, { encoding: 'utf8', timeout: 300_000 });
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/\d+ checks, 0 failures/);
  });
}

const pluginTest = built('cuda_plugin_test');
const emulated = built('libcuda_emulated.so');

test.skipIf(!emulated || !pluginTest)(
  'the CUDA kernels, run on the processor, agree with their CPU twins',
  () => {
    const result = spawnSync(pluginTest!, [emulated!], { encoding: 'utf8', timeout: 300_000 });
    expect(result.status, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/\d+ checks, 0 failures$/m);
  },
);

const plugin = built('libfsyn_cuda.so');

// The plugin is built where nvcc is; without a device its kernels are skipped and only its table is checked.
test.skipIf(!plugin || !pluginTest)('the CUDA kernels agree with their CPU twins', () => {
  const result = spawnSync(pluginTest!, [plugin!], { encoding: 'utf8', timeout: 300_000 });
  expect(result.status, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/\d+ checks, 0 failures/);
  if (result.stdout.includes('skipped')) console.log(`CUDA: ${result.stdout.trim()}`);
});
