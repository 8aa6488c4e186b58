import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { evaluate } from '../../lib/measure/evaluate.js';
import { loadModels } from '../../lib/runner/models.js';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import type { Vlm } from '../../lib/vlm/types.js';
import { openTiny, startServer, stopAll } from './serving.js';

const golden = join(import.meta.dirname, '../golden');

interface Golden {
  readonly blurRadiusRelative: number;
  readonly samples: readonly {
    readonly image: string;
    readonly question: string;
    readonly answer: string;
    readonly distinctCells: number;
    readonly attributions: readonly {
      readonly image: number[];
      readonly text: number[];
      readonly insertion: number;
      readonly deletion: number;
      readonly mean: number;
      readonly imageSrg: number;
      readonly textSrg: number;
    }[];
  }[];
}

let vlm: Vlm;
beforeAll(async () => {
  [vlm] = await loadModels(['llava-tiny'], { threads: 1 });
});
afterAll(() => stopAll(vlm));

/** Made by tests/oracles/served_cells.py: PyTorch in float64, cells and areas written out anew. */
test('F_syn of the game of deleted words is that of an independent PyTorch evaluation', async () => {
  const { samples, blurRadiusRelative } = JSON.parse(
    readFileSync(join(golden, 'served-llava-tiny.json'), 'utf8'),
  ) as Golden;
  const server = await startServer(vlm, 'vllm');
  const served = await openTiny(server);
  for (const { image, question, answer, attributions, distinctCells } of samples) {
    const sample = await served.prepare(await decodeImage(join(golden, 'embedded', image)), question, {
      blurRadius: blurRadiusRelative,
    });
    expect(sample.answer.decision.toLowerCase()).toBe(answer);
    const before = server.requests;
    const results = await evaluate(
      sample,
      attributions.map((one) => ({ image: Float64Array.from(one.image), text: Float64Array.from(one.text) })),
    );
    expect(server.requests - before).toBe(distinctCells);
    for (const [i, wanted] of attributions.entries()) {
      const { synergy, image: imageCurves, text } = results[i];
      const found = { ...synergy.raw, imageSrg: imageCurves.srg, textSrg: text.srg };
      // PyTorch in float32 is up to 4e-5 from its own float64 on these games (float32Spread in the file).
      for (const name of ['insertion', 'deletion', 'mean', 'imageSrg', 'textSrg'] as const)
        expect(Math.abs(found[name] - wanted[name])).toBeLessThan(1e-4);
    }
  }
});
