import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { inputKinds } from '../../bench/reliability/inputs.js';
import { FsynError } from '../../lib/errors.js';

const scratch = mkdtempSync(join(tmpdir(), 'fsyn-mutated-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** How many of the inputs of `npm run check:files` are repeated here, from the first. */
const inputs: Readonly<Record<string, number>> = {
  '.npy': 400,
  'JSON Lines': 150,
  JSON: 80,
  images: 60,
  Parquet: 40,
  ONNX: 20,
};

it.each(inputKinds(resolve(import.meta.dirname, '../..'), scratch))(
  'mutated files of strangers are taken or refused with a code: $name',
  { timeout: 60_000 },
  async ({ name, use }) => {
    let taken = 0;
    for (let number = 0; number < inputs[name]; number++) {
      const error = await use(number).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error === undefined) taken++;
      else expect(error, `input ${number}: ${(error as Error)?.stack}`).toBeInstanceOf(FsynError);
    }
    // Neither all nor nothing: the mutations reach beyond the first check.
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(inputs[name]);
  },
);
