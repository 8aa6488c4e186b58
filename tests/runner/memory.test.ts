import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import ndarray from 'ndarray';
import { expect, it } from 'vitest';
import type { Dataset } from '../../lib/datasets/types.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { buildReport } from '../../lib/report/report.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { fakeModel } from './fake-model.js';

const samples = 10_000;

/** A dataset that makes every sample, with an image of its own, when its turn comes. */
const endless: Dataset = {
  name: 'endless',
  version: '1',
  size: samples,
  async *samples() {
    for (let i = 0; i < samples; i++) {
      yield {
        id: `q${i}`,
        question: `a bb cc d${i}`,
        answer: 'yes',
        family: 'presence',
        image: async () => ndarray(new Uint8Array(64 * 64 * 3).fill(i), [64, 64, 3]),
      };
    }
  },
};

function collected(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

it('memory stays flat over 10,000 samples, while running and while reporting', async () => {
  const out = mkdtempSync(join(tmpdir(), 'fsyn-memory-'));
  try {
    const used = new Map<number, number>();
    await runBenchmark({
      models: [fakeModel()],
      datasets: [endless],
      explainers: findExplainers(['random']),
      out,
      onProgress: ({ done }) => {
        if (done === 1000 || done === samples) used.set(done, collected());
      },
    });
    const growth = used.get(samples)! - used.get(1000)!;
    // A run keeps a key per row, twice: 9,000 rows of 16 characters with the tables around them are about 2
    // MB. Holding what belongs to a sample would show at once: its image alone is 12 KB, 110 MB for 9,000;
    // its row 4 KB, 36 MB.
    expect(growth).toBeLessThan(12 * 2 ** 20);

    // The report folds rows as they come: some numbers per row (9 measures, 72 bytes and their tables), no
    // curves.
    let largest = 0;
    const before = collected();
    function* watched() {
      let count = 0;
      for (const record of readRecords(out)) {
        if (++count % 5000 === 0) largest = Math.max(largest, collected() - before);
        yield record;
      }
    }
    const report = await buildReport(out, watched(), 'rows', { resamples: 100 });
    expect(report.rows).toBe(samples);
    expect(largest).toBeLessThan(24 * 2 ** 20);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}, 600_000);
