import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Dataset } from '../datasets/types.js';
import type { Explainer } from '../explainers/types.js';
import { recordSchema } from '../report/record.js';
import type { RunDescription } from '../report/sources.js';
import type { Vlm } from '../vlm/types.js';
import { writeWhole } from '../whole-file.js';
import type { BenchmarkSettings } from './settings.js';

/** What decides a run. */
export interface DescribedRun {
  readonly models: readonly Vlm[];
  readonly datasets: readonly Dataset[];
  readonly explainers: readonly Explainer[];
  readonly settings: Partial<BenchmarkSettings>;
  readonly shapleySamples: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly invocation: Readonly<Record<string, unknown>> | undefined;
}

/**
 * What run.json says of a run: what was measured, with which settings and versions, how it was asked for, and
 * where.
 */
export function describeRun(run: DescribedRun): RunDescription & Readonly<Record<string, unknown>> {
  return {
    schema: recordSchema,
    models: run.models.map(({ name, architecture, fingerprint }) => ({ name, architecture, fingerprint })),
    datasets: run.datasets.map(({ name, version, size, masking }) => ({ name, version, size, masking })),
    explainers: run.explainers.map(({ name, title, reference, fingerprint }) => ({
      name,
      title,
      reference,
      fingerprint,
    })),
    settings: { ...run.settings },
    shapleySamples: run.shapleySamples,
    versions: run.versions,
    invocation: run.invocation,
    machine: {
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      platform: `${process.platform}-${process.arch}`,
      node: process.version,
    },
  };
}

export function writeRunFile(folder: string, description: RunDescription): void {
  writeWhole(join(folder, 'run.json'), `${JSON.stringify(description, null, 2)}\n`);
}

/**
 * What differs between a run and the one that it repeats, a sentence each; machines and ways of asking may.
 */
export function runDifferences(before: RunDescription, now: RunDescription): string[] {
  const differences: string[] = [];
  for (const kind of ['models', 'datasets', 'explainers'] as const) {
    const described = (list: RunDescription[typeof kind]) =>
      new Map((list ?? []).map((item) => [item.name, JSON.stringify(item)]));
    const [then, today] = [described(before[kind]), described(now[kind])];
    const lacking = [...then.keys()].filter((name) => !today.has(name));
    const added = [...today.keys()].filter((name) => !then.has(name));
    const changed = [...today.keys()].filter((name) => then.has(name) && then.get(name) !== today.get(name));
    if (lacking.length > 0) differences.push(`${kind} that are missing: ${lacking.join(', ')}`);
    if (added.length > 0) differences.push(`${kind} that it did not have: ${added.join(', ')}`);
    if (changed.length > 0) differences.push(`${kind} that are not what they were: ${changed.join(', ')}`);
  }
  for (const kind of ['settings', 'versions'] as const) {
    const [then, today]: Readonly<Record<string, unknown>>[] = [before[kind] ?? {}, now[kind] ?? {}];
    const names = [...new Set([...Object.keys(then), ...Object.keys(today)])];
    const changed = names.filter((name) => JSON.stringify(then[name]) !== JSON.stringify(today[name]));
    const shown = changed.map(
      (name) => `${name} ${JSON.stringify(then[name])}, now ${JSON.stringify(today[name])}`,
    );
    if (shown.length > 0) differences.push(`${kind}: ${shown.join('; ')}`);
  }
  return differences;
}
