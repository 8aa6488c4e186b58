import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { auditPage } from '../../lib/audit/page.js';
import type { AuditedRecord } from '../../lib/audit/record.js';
import { runAudit } from '../../lib/audit/run.js';
import { rankQuestions, summariseAudit } from '../../lib/audit/summary.js';
import { renderAudit, renderAuditCsv } from '../../lib/audit/text.js';
import { openDatasets } from '../../lib/datasets/open.js';
import { findExplainers } from '../../lib/explainers/registry.js';
import { behaviourOf, modalityShares } from '../../lib/metrics/modality.js';
import type { MeasuredRecord } from '../../lib/report/record.js';
import { loadModels } from '../../lib/runner/models.js';
import { runBenchmark } from '../../lib/runner/run.js';
import { type Calls, fakeDataset, fakeModel } from '../runner/fake-model.js';

const home = mkdtempSync(join(tmpdir(), 'fsyn-audit-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const corners = (full: number, imageOnly: number, textOnly: number, empty: number) => ({
  full,
  imageOnly,
  textOnly,
  empty,
});

describe('what a question needs', () => {
  test('shares add up to what the input adds, whatever its sign', () => {
    const shares = modalityShares(corners(0.9, 0.3, 0.5, 0.1), 0.05);
    expect(shares.image).toBeCloseTo(0.25, 14);
    expect(shares.text).toBeCloseTo(0.5, 14);
    expect(shares.both).toBeCloseTo(0.25, 14);
    const falling = modalityShares(corners(0.2, 0.5, 0.6, 0.7), 0.05);
    expect(falling.image + falling.text + falling.both).toBeCloseTo(-1, 14);
  });

  test('behaviour follows half of the way, not half of the value', () => {
    const floor = 0.05;
    // A guess between yes and no is half right without any input: that is no knowledge of the text.
    expect(behaviourOf(corners(0.99, 0.5, 0.52, 0.5), floor)).toBe('both');
    expect(behaviourOf(corners(0.99, 0.5, 0.98, 0.5), floor)).toBe('text');
    expect(behaviourOf(corners(0.99, 0.98, 0.5, 0.5), floor)).toBe('image');
    expect(behaviourOf(corners(0.99, 0.98, 0.97, 0.5), floor)).toBe('either');
    expect(behaviourOf(corners(0.51, 0.9, 0.1, 0.5), floor)).toBe('neither');
    // Exactly half of the way is enough.
    expect(behaviourOf(corners(1, 0, 0.5, 0), floor)).toBe('text');
  });
});

describe('an audit', () => {
  const questions = ['is it red ?', 'is it blue ?', ''];

  test('asks every question four times, names failures, and goes on after a kill', async () => {
    const calls: Calls = { prepared: 0, cells: 0 };
    const models = [fakeModel(calls)];
    const out = join(home, 'fake');
    const first = await runAudit({ models, datasets: [fakeDataset(questions)], out });
    expect(calls.cells).toBe(8);
    expect(first.records.map(({ status }) => status)).toEqual(['ok', 'ok', 'failed']);
    const [record] = first.records as AuditedRecord[];
    // The fake answer needs image player 5 and text player 1: log-probability -1 with both, else -3.
    const [high, low] = [Math.exp(-1), Math.exp(-3)];
    expect(record.corners).toEqual({ full: high, imageOnly: low, textOnly: low, empty: low });
    expect(record).toMatchObject({
      behaviour: 'both',
      correct: true,
      shares: { image: 0, text: 0, both: 1 },
    });
    await expect(runAudit({ models, datasets: [fakeDataset(questions)], out })).rejects.toMatchObject({
      code: 'RESULTS',
    });

    // A torn last line, as a kill leaves it.
    const path = join(out, 'audit.jsonl');
    const whole = readFileSync(path, 'utf8');
    appendFileSync(path, '{"schema":1,"key":"to');
    const again = await runAudit({ models, datasets: [fakeDataset(questions)], out, resume: true });
    expect(again.resumed).toBe(3);
    expect(again.records).toEqual(first.records);
    expect(readFileSync(path, 'utf8')).toBe(whole);
    expect(calls.cells).toBe(8);

    appendFileSync(path, 'null\n');
    await expect(runAudit({ models, datasets: [fakeDataset(questions)], out, resume: true })).rejects.toThrow(
      /audit\.jsonl:4 is no row/,
    );
  });

  test('misuse is refused, and an abort keeps what is finished', async () => {
    await expect(runAudit({ models: [fakeModel()], out: home })).rejects.toThrow(/one of datasets/);
    await expect(runAudit({ models: [fakeModel()], datasets: [fakeDataset(questions)] })).rejects.toThrow(
      /out/,
    );
    const controller = new AbortController();
    const out = join(home, 'aborted');
    const running = runAudit({
      models: [fakeModel()],
      datasets: [fakeDataset(questions)],
      out,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(running).rejects.toThrow('enough');
    expect(readFileSync(join(out, 'audit.jsonl'), 'utf8').trim().split('\n')).toHaveLength(1);
  });

  test('on an embedded model: corners are those of a benchmark, and grounded questions come apart', async () => {
    const models = await loadModels(['llava-tiny']);
    try {
      const datasets = await openDatasets(['presence', 'relation', 'choice'], {
        size: 10,
        limit: 10,
        seed: 1,
        allowOutside: false,
      });
      const { records, cells } = await runAudit({ models, datasets, out: join(home, 'llava') });
      expect(records).toHaveLength(30);
      expect(cells).toBe(120);
      const [audit] = summariseAudit(records);
      // 18 grounded questions and 12 that one modality answers.
      expect(audit.separation).toMatchObject({ positives: 18, negatives: 12 });
      expect(audit.separation!.estimate).toBeGreaterThanOrEqual(0.95);
      const { behaviour, needsBoth, samples } = audit.overall;
      expect(Object.values(behaviour).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(needsBoth.estimate).toBe(behaviour.both);
      expect(samples).toBe(30);
      expect(audit.parts.reduce((sum, part) => sum + part.samples, 0)).toBe(30);

      const explainers = findExplainers(['random']);
      await runBenchmark({
        models,
        datasets: datasets.slice(0, 1),
        explainers,
        out: join(home, 'bench'),
        shapleySamples: 0,
      });
      const rows = readFileSync(join(home, 'bench', 'results.jsonl'), 'utf8')
        .trim()
        .split('\n');
      for (const row of rows.map((line) => JSON.parse(line) as MeasuredRecord)) {
        const same = records.find(({ sample }) => sample === row.sample) as AuditedRecord;
        // Other cells in the same batches move float32 scores by their rounding.
        for (const corner of ['full', 'imageOnly', 'textOnly', 'empty'] as const)
          expect(Math.abs(same.corners[corner] - row.corners[corner])).toBeLessThan(1e-5);
      }

      const ranked = rankQuestions(records);
      expect(ranked[0].shares.both).toBeGreaterThan(ranked[29].shares.both);
      const csv = renderAuditCsv(records).trim().split('\r\n');
      expect(csv).toHaveLength(31);
      expect(renderAudit([audit])).toMatch(/% of 30 questions need image and text together/);
      const page = await auditPage([audit], records, async () => null);
      expect(page).toContain('Do these questions need the image and the text together?');
      expect(page.match(/aria-label="circle|role="graphics-symbol"[^>]*mark_circle/g)).toBeNull();
      expect(page.match(/<path[^>]*var\(--c0\)/g)?.length).toBeGreaterThan(5);
      expect(page).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
    } finally {
      for (const model of models) model.dispose();
    }
  });
});
