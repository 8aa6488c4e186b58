import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  cudaFacts,
  FsynError,
  Interactions,
  indexNames,
  interactions,
  interactionsSync,
  type TransformKind,
  transform,
  transformSync,
  ValueTable,
} from '../../lib/interactions/index.js';
import { packageInfo } from '../../lib/package.js';
import { built } from '../built.js';
import { expectClose, numbers } from './support.js';

const before = process.env.FSYN_CUDA_PLUGIN;
const choosePlugin = (path: string | undefined) => {
  if (path === undefined) delete process.env.FSYN_CUDA_PLUGIN;
  else process.env.FSYN_CUDA_PLUGIN = path;
};
afterEach(() => choosePlugin(before));

const game = (n: number, seed = n) => ValueTable.from(numbers(2 ** n, seed));

function failureOf(call: () => unknown): FsynError {
  try {
    call();
  } catch (error) {
    if (error instanceof FsynError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe("device 'cuda' without what it needs", () => {
  const cases: readonly (readonly [what: string, plugin: string | null, message: RegExp])[] = [
    [
      'a missing plugin',
      '/nowhere/libfsyn_cuda.so',
      /\/nowhere\/libfsyn_cuda\.so is missing.*nvcc.*FSYN_CUDA_PLUGIN/,
    ],
    ['a file that is no library', join(packageInfo().root, 'package.json'), /package\.json cannot be loaded/],
    ['a plugin of another version', built('libfake_cuda_old.so'), /another version; build it again/],
    ['no device', built('libfake_cuda_no_device.so'), /finds no device: no CUDA-capable device is detected/],
  ];
  for (const [what, plugin, message] of cases) {
    it.skipIf(plugin === null)(
      `${what} is an error that names it, and never the processor's result`,
      async () => {
        choosePlugin(plugin!);
        const table = game(5);
        for (const call of [
          () => interactionsSync(table, { device: 'cuda' }),
          () => interactionsSync(table, { device: 'cuda', index: 'Moebius' }),
          () => interactionsSync(table, { device: 'cuda', index: 'SGV', minOrder: 1 }),
          () => transformSync(table.values, 'moebius', { device: 'cuda' }),
        ]) {
          const error = failureOf(call);
          expect(error.code).toBe('PROVIDER_UNAVAILABLE');
          expect(error.message).toMatch(message);
        }
        await expect(interactions(table, { device: 'cuda' })).rejects.toMatchObject({
          code: 'PROVIDER_UNAVAILABLE',
        });
        await expect(transform(table.values, 'zeta', { device: 'cuda' })).rejects.toThrow(message);
        expect(cudaFacts()).toMatchObject({
          device: null,
          memory: 0,
          problem: expect.stringMatching(message),
        });
        expect(interactionsSync(game(18), { device: 'auto', order: 3, minOrder: 3 }).device).toBe('cpu');
      },
    );
  }

  it('refuses devices and combinations that do not exist', () => {
    const table = game(3);
    expect(failureOf(() => interactionsSync(table, { device: 'gpu' as 'cuda' })).message).toMatch(
      /one of auto, cpu, cuda for device/,
    );
    expect(failureOf(() => transformSync(table.values, 'zeta', { device: 'auto' as 'cpu' })).message).toMatch(
      /one of cpu, cuda for device/,
    );
    expect(failureOf(() => interactionsSync(table, { device: 'cuda', kernels: 'portable' })).message).toMatch(
      /for kernels/,
    );
  });
});

const fake = built('libfake_cuda.so');

// Two libraries with the plugin's interface, built with the C++ tests: plain loops over host memory, and the
// kernels themselves run on the processor. Together everything but the device itself.
describe.each([
  ['plain loops', fake],
  ['emulated kernels', built('libcuda_emulated.so')],
] as const)("device 'cuda' through a plugin: %s", (_name, plugin) => {
  beforeEach(({ skip }) => {
    if (plugin === null) skip('not built here');
    else choosePlugin(plugin);
  });

  for (const index of indexNames) {
    it(`${index} of every order equals the processor's`, async () => {
      for (const n of [1, 2, 4, 7]) {
        const table = game(n);
        for (let order = 1; order <= (index === 'SV' || index === 'BV' ? 1 : n); order++) {
          const expected = interactionsSync(table, { index, order, p: 0.3 });
          const actual = await interactions(table, { index, order, p: 0.3, device: 'cuda' });
          expect([expected.device, actual.device]).toEqual(['cpu', 'cuda']);
          // Both round every step; values and dividends of 7 players stay below 2^7.
          expectClose(actual.values, expected.values, 1e-12, 0, `${index} ${order} of ${n}`);
        }
      }
    });
  }

  it('float tables, restrictions and tables with more players than a block holds', () => {
    const image = [0, 1, 2, 3, 4, 5];
    const text = [6, 7, 8, 9, 10, 11, 12, 13];
    for (const values of [numbers(2 ** 14, 3), Float32Array.from(numbers(2 ** 14, 3))]) {
      const table = ValueTable.from(values);
      for (const options of [
        { pairs: { image, text } },
        { index: 'STII', order: 3 },
        { index: 'JointSV' },
      ] as const) {
        const expected = interactionsSync(table, options);
        expectClose(interactionsSync(table, { ...options, device: 'cuda' }).values, expected.values, 1e-11);
      }
    }
  });

  it('every transform and its way back', async () => {
    const pairs: readonly (readonly [TransformKind, TransformKind])[] = [
      ['moebius', 'zeta'],
      ['coMoebius', 'inverseCoMoebius'],
      ['supersetSum', 'supersetDifference'],
      ['walshHadamard', 'inverseWalshHadamard'],
      ['banzhaf', 'inverseBanzhaf'],
    ];
    for (const n of [0, 1, 6, 11]) {
      const values = numbers(2 ** n, 5);
      for (const [there, back] of pairs) {
        const once = transformSync(values, there, { device: 'cuda', p: 0.3 });
        expectClose(once, transformSync(values, there, { p: 0.3 }), 1e-10);
        const again = await transform(once, back, { device: 'cuda', p: 0.3, inPlace: true });
        expect(again).toBe(once);
        expectClose(again, values, 1e-9);
        const narrow = transformSync(Float32Array.from(values), there, { device: 'cuda', p: 0.3 });
        expect(narrow).toBeInstanceOf(Float32Array);
        // One rounding of inputs below 1 and one of sums below 2^n.
        expectClose(narrow, transformSync(values, there, { p: 0.3 }), 2 ** (n - 20));
      }
    }
  });
});

describe.skipIf(fake === null)("device 'cuda' with 24 MiB", () => {
  beforeEach(() => choosePlugin(fake!));

  it("'auto' takes the device where it pays and fits, and the result and its JSON say which it was", () => {
    const device = (n: number, options: object) =>
      interactionsSync(game(n), { device: 'auto', ...options }).device;
    expect(device(12, { order: 3, minOrder: 3 })).toBe('cpu');
    expect(device(18, { order: 2 })).toBe('cpu');
    expect(device(18, { order: 3, minOrder: 3 })).toBe('cuda');
    expect(device(18, { order: 3, minOrder: 3, kernels: 'portable' })).toBe('cpu');
    expect(device(21, { order: 3, minOrder: 3 })).toBe('cpu');
    const result = interactionsSync(game(4), { device: 'cuda' });
    expect(JSON.parse(JSON.stringify(result)).metadata.device).toBe('cuda');
    expect(Interactions.fromJSON(result.toJSON()).device).toBeNull();
  });

  it('a table that does not fit is an error that says what there is', () => {
    const table = game(21);
    const error = failureOf(() => interactionsSync(table, { order: 3, minOrder: 3, device: 'cuda' }));
    expect(error.code).toBe('OUT_OF_MEMORY');
    expect(error.message).toMatch(/2 tables of 21 players need 32 MiB.*only 24 MiB.*Imitation device/);
  });

  it('an abort is seen between pieces, and nothing stays on the device', async () => {
    const { memory } = cudaFacts();
    const table = game(20);
    const controller = new AbortController();
    const reason = new Error('no more');
    const seen: number[] = [];
    const stopped = interactions(table, {
      index: 'SII',
      order: 6,
      minOrder: 3,
      device: 'cuda',
      signal: controller.signal,
      onProgress: (share) => {
        seen.push(share);
        controller.abort(reason);
      },
    });
    await expect(stopped).rejects.toBe(reason);
    expect(seen.length).toBeGreaterThan(0);
    expect(cudaFacts().memory).toBe(memory);
    const after = await interactions(game(6), { order: 3, device: 'cuda' });
    expectClose(after.values, interactionsSync(game(6), { order: 3 }).values, 1e-12);
    expect(cudaFacts()).toEqual({ device: 'Imitation device', memory, problem: null });
  });
});

describe('the device of this machine', () => {
  it('gives what the processor gives', ({ skip }) => {
    const { device, problem } = cudaFacts();
    if (device === null) skip(`not run: no GPU. ${problem}`);
    for (const n of [5, 12, 13, 20]) {
      const table = game(n);
      const expected = interactionsSync(table, { order: 2 });
      const actual = interactionsSync(table, { order: 2, device: 'cuda' });
      expectClose(actual.values, expected.values, 1e-12);
      expect(interactionsSync(table, { order: 2, device: 'cuda' }).values).toEqual(actual.values);
      const wide = interactionsSync(table, { order: 3, minOrder: 3 });
      // Dividends of random values grow like 2^(n/2).
      expectClose(
        interactionsSync(table, { order: 3, minOrder: 3, device: 'cuda' }).values,
        wide.values,
        1e-9,
      );
    }
  });
});
