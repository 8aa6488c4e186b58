import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { runtime } from '../../lib/inference/runtime.js';
import { packageInfo } from '../../lib/package.js';
import { fixtures } from './support.js';

const name = process.platform === 'win32' ? 'inference_test.exe' : 'inference_test';
const executable = ['build', 'build/Release', 'build/Debug']
  .map((folder) => join(packageInfo().root, folder, name))
  .find((path) => existsSync(path));

// Built by CMake only; a node-gyp build has no test executables.
test.skipIf(executable === undefined)('the C++ tests pass, every slot of the function table included', () => {
  const { path, version } = runtime();
  const result = spawnSync(executable!, [path, version, fixtures], { encoding: 'utf8', timeout: 50_000 });
  expect(result.status, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/\d+ checks, 0 failures/);
});

const plugin = join(packageInfo().root, 'build', 'Release', 'libfsyn_cuda.so');
const pluginTest = executable && join(dirname(executable), 'cuda_plugin_test');

// The plugin is built where nvcc is; without a device its kernels are skipped and only its table is checked.
test.skipIf(!existsSync(plugin) || !pluginTest)('the CUDA kernels agree with their CPU twins', () => {
  const result = spawnSync(pluginTest!, [plugin], { encoding: 'utf8', timeout: 50_000 });
  expect(result.status, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/\d+ checks, 0 failures/);
  if (result.stdout.includes('skipped')) console.log(`CUDA: ${result.stdout.trim()}`);
});
