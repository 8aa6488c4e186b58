import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModels } from '../../lib/runner/models.js';
import type { ServerFaults } from '../../lib/serve/faults.js';
import type { ServedDialect } from '../../lib/serve/routes.js';
import type { ProbeResult } from '../../lib/vlm/served/probe.js';
import { openServed, servedDefaults } from '../../lib/vlm/served/vlm.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { startServer, stopAll } from './serving.js';

const names = ['picture', 'raw', 'repeat', 'collision', 'tokens'] as const;
const models = new Map<string, Vlm>();
/** Pictures of LLaVA take 64 tokens always, those of this Qwen as many as their size says. */
type Model = 'llava-tiny' | 'qwen';
const home = mkdtempSync(join(tmpdir(), 'fsyn-probes-'));

/** The embedded Qwen brings every picture to 64 x 64; with other bounds the same files take any size. */
function qwenOfAnySize(): string {
  const from = join(import.meta.dirname, '../../bench/models/qwen2_5_vl-tiny/model');
  const to = join(home, 'qwen');
  mkdirSync(to);
  for (const name of readdirSync(from)) symlinkSync(join(from, name), join(to, name));
  const path = join(to, 'preprocessor_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  rmSync(path);
  writeFileSync(path, JSON.stringify({ ...config, min_pixels: 256, max_pixels: 50_176 }));
  return to;
}

beforeAll(async () => {
  for (const model of await loadModels(['llava-tiny', `qwen=${qwenOfAnySize()}`], { threads: 1 }))
    models.set(model.name, model);
});
afterAll(async () => {
  await stopAll(...models.values());
  rmSync(home, { recursive: true });
});

async function probe(model: Model, dialect: ServedDialect, faults: Partial<ServerFaults>) {
  const server = await startServer(models.get(model)!, dialect, faults);
  const results: ProbeResult[] = [];
  const options = {
    ...servedDefaults,
    grid: 8,
    multiple: 8,
    side: 64,
    onProbe: (one: ProbeResult) => results.push(one),
  };
  const address = `served:${server.url}/v1#${model}`;
  const served = await openServed(address, { ...options, accept: names });
  const asked = server.requests;
  const failed = results.filter(({ passed }) => !passed).map(({ name }) => name);
  return { results, failed, served, asked, address, options };
}

test.each([
  ['llava-tiny', 'vllm'],
  ['llava-tiny', 'sglang'],
  ['llava-tiny', 'llamacpp'],
  ['llava-tiny', 'ollama'],
  ['llava-tiny', 'openai'],
  ['qwen', 'vllm'],
] as const)('none fires on a clean %s in the words of %s', async (model, dialect) => {
  const { failed, results, served, asked } = await probe(model, dialect, {});
  expect(failed).toEqual([]);
  // Where tokens have no ids none can be biased.
  const withIds = dialect === 'vllm' || dialect === 'sglang';
  expect(results.map(({ name }) => name)).toEqual(names.filter((name) => withIds || name !== 'raw'));
  expect(served.noise).toBe(0);
  expect(asked).toBeLessThan(70);
});

test.each([
  ['picture', 'llava-tiny', 'vllm', { blind: true }],
  ['picture', 'llava-tiny', 'openai', { blind: true }],
  ['raw', 'llava-tiny', 'vllm', { processed: true }],
  ['raw', 'llava-tiny', 'sglang', { processed: true }],
  ['repeat', 'llava-tiny', 'vllm', { noise: 0.2 }],
  ['repeat', 'llava-tiny', 'ollama', { noise: 0.2 }],
  ['collision', 'llava-tiny', 'vllm', { hashBits: 2 }],
  ['collision', 'llava-tiny', 'sglang', { hashBits: 2 }],
  ['tokens', 'qwen', 'vllm', { resize: true }],
  ['tokens', 'qwen', 'openai', { resize: true }],
] as const)('%s fires on its fault (%s, %s)', async (name, model, dialect, faults) => {
  const { failed, address, options } = await probe(model, dialect, faults);
  expect(failed).toContain(name);
  await expect(openServed(address, options)).rejects.toThrow(new RegExp(`cannot be measured.*${name}:`));
});

test('small noise passes and is stored', async () => {
  const { failed, served } = await probe('llava-tiny', 'vllm', { noise: 0.01 });
  expect(failed).toEqual([]);
  // Eight repetitions of a deviation of about .01: within a factor of three either way.
  expect(served.noise).toBeGreaterThan(0.003);
  expect(served.noise).toBeLessThan(0.03);
});
