import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { AuditedRecord } from '../../lib/audit/record.js';
import { runAudit } from '../../lib/audit/run.js';
import { openDatasets } from '../../lib/datasets/open.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { loadModels } from '../../lib/runner/models.js';
import { readRecords } from '../../lib/runner/rows.js';
import { runBenchmark } from '../../lib/runner/run.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-needs-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

test('measures only what needs both, on corners that are those of the audit to the last bit', async () => {
  const models = await loadModels(['llava-tiny']);
  try {
    const datasets = await openDatasets(['presence'], { size: 8, limit: 8, seed: 1, allowOutside: false });
    const { records } = await runAudit({ models, datasets, out: join(home, 'audit') });
    const audits = records as AuditedRecord[];
    const needing = audits.filter(({ behaviour }) => behaviour === 'both');
    expect(needing.length).toBeGreaterThan(1);
    expect(needing.length).toBeLessThan(8);

    const out = join(home, 'bench');
    const run = {
      models,
      datasets,
      explainers: findExplainers(['oracle', 'random']),
      out,
      shapleySamples: 0,
    };
    const settings = { needsBoth: true as const, chanceOrders: 3 };
    // Killed after the first sample that was measured.
    const controller = new AbortController();
    const killed = runBenchmark({
      ...run,
      settings,
      signal: controller.signal,
      onProgress: ({ done }) => done === 3 && controller.abort(new Error('killed')),
    });
    await expect(killed).rejects.toThrow('killed');
    const outcome = await runBenchmark({ ...run, settings, resume: true });
    expect(outcome.leftOut).toBe(8 - needing.length);

    const rows = [...readRecords(out)] as MeasuredRecord[];
    expect(rows).toHaveLength(2 * needing.length);
    for (const row of rows) {
      const same = audits.find(({ sample }) => sample === row.sample)!;
      expect(row.corners).toEqual(same.corners);
      expect(row.chance).toMatchObject({ orders: 3 });
      expect(row.chance!.insertion[10]).toBeCloseTo(row.synergy.insertion[10], 12);
    }
    // Every explainer of a sample has the same chance.
    expect(rows[0].chance).toEqual(rows[1].chance);

    // Nothing was scored twice: what was computed is what the samples' tables hold.
    const timings = readFileSync(join(out, 'timings.jsonl'), 'utf8').trim().split('\n');
    for (const { cells, computed, found } of timings.map((line) => JSON.parse(line)))
      expect(computed + found).toBe(cells);

    const again = await runBenchmark({ ...run, settings, resume: true });
    expect(again).toMatchObject({ leftOut: 8 - needing.length, computedCells: 0, cells: 0 });
    expect(again.keys.size).toBe(rows.length);
  } finally {
    for (const model of models) model.dispose();
  }
});
