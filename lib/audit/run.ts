import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Corners, cornerValues, requestCorners } from '../cells/corners.js';
import type { CellScores } from '../cells/scores.js';
import { CellTable } from '../cells/table.js';
import { cellBounds, cellValues } from '../cells/values.js';
import type { Dataset, Sample } from '../datasets/types.js';
import { FsynError, reasonOf } from '../errors.js';
import { type Behaviour, behaviourOf, modalityShares } from '../metrics/modality.js';
import { resolveOptions } from '../options.js';
import { lockFolder } from '../runner/folder-lock.js';
import { prepareSample } from '../runner/sample-run.js';
import { type BenchmarkSettings, contentKey, defaultSettings } from '../runner/settings.js';
import { currentVersions } from '../runner/versions.js';
import { isExpected } from '../vlm/answer/expected.js';
import type { Vlm } from '../vlm/types.js';
import { type AuditHead, type AuditRecord, auditSchema } from './record.js';

const auditFile = 'audit.jsonl';

export interface AuditOptions {
  readonly models: readonly Vlm[];
  readonly datasets: readonly Dataset[];
  /** Folder for audit.jsonl. */
  readonly out: string;
  /** Keep the rows that are there, instead of refusing a folder that has some. */
  readonly resume: boolean;
  /** Of these: seed, scoring, masking, players and floor. */
  readonly settings: BenchmarkSettings;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (done: number, total: number, failed: number) => void;
}

const defaults: AuditOptions = {
  models: [],
  datasets: [],
  out: '',
  resume: false,
  settings: defaultSettings,
  signal: undefined,
  onProgress: () => {},
};

export interface AuditOutcome {
  /** Rows of this run, those found from before included, in the order of models, datasets and samples. */
  readonly records: readonly AuditRecord[];
  /** Cells that were asked for: four a question. */
  readonly cells: number;
  readonly resumed: number;
}

/**
 * Asks every question four times - whole, without the image, without the question, without both - and says
 * what the model needed for its answer. Works with every kind of model; a question costs 4 cells where a
 * benchmark's costs hundreds.
 *
 * @throws FsynError RESULTS for a folder that holds rows (without `resume`) or is another process's; the
 *   signal's reason when aborted (finished rows are kept)
 */
export async function runAudit(given: Partial<AuditOptions>): Promise<AuditOutcome> {
  const run = resolveOptions('runAudit', defaults, given);
  for (const part of ['models', 'datasets'] as const) {
    if (run[part].length === 0)
      throw new FsynError('INVALID_ARGUMENT', `Expected at least one of ${part} but received none.`);
  }
  if (run.out === '') throw new FsynError('INVALID_ARGUMENT', 'Expected a folder for out but received "".');
  mkdirSync(run.out, { recursive: true });
  const unlock = lockFolder(run.out);
  try {
    return await auditAll(run);
  } finally {
    unlock();
  }
}

async function auditAll(run: AuditOptions): Promise<AuditOutcome> {
  const path = join(run.out, auditFile);
  const known = readKnown(path, run.resume);
  const total = run.models.length * run.datasets.reduce((sum, { size }) => sum + size, 0);
  const records: AuditRecord[] = [];
  let [cells, resumed, failed] = [0, 0, 0];
  for (const model of run.models) {
    for (const dataset of run.datasets) {
      for await (const sample of dataset.samples()) {
        run.signal?.throwIfAborted();
        const head = headOf(run.settings, model, dataset, sample);
        let record = known.get(head.key);
        if (record === undefined) {
          record = await auditSample(run, model, dataset, sample, head);
          appendFileSync(path, `${JSON.stringify(record)}\n`);
          cells += 4;
        } else resumed++;
        if (record.status === 'failed') failed++;
        records.push(record);
        run.onProgress(records.length, total, failed);
      }
    }
  }
  return { records, cells, resumed };
}

async function auditSample(
  { settings, signal }: AuditOptions,
  model: Vlm,
  dataset: Dataset,
  sample: Sample,
  head: AuditHead,
): Promise<AuditRecord> {
  try {
    const prepared = await prepareSample({ model, dataset, sample, settings }, signal);
    const table = new CellTable(prepared.imagePlayers.count, prepared.textPlayers.count);
    const wanted = requestCorners(table);
    const scores = await prepared.evaluate(table, { signal });
    const corners = cornerValues(wanted, cellValues(scores, settings.scoring));
    const bounded = requireBehaviour(wanted, scores, settings);
    return {
      ...head,
      status: 'ok',
      answer: prepared.answer.text,
      correct:
        prepared.answer.decisionKind === 'similarity' ? null : isExpected(prepared.answer, sample.answer),
      corners,
      shares: modalityShares(corners, settings.floor),
      behaviour: behaviourOf(corners, settings.floor),
      ...(bounded > 0 ? { bounded } : {}),
    };
  } catch (error) {
    signal?.throwIfAborted();
    const code = error instanceof FsynError ? error.code : 'UNEXPECTED';
    return { ...head, status: 'failed', error: { code, message: reasonOf(error) } };
  }
}

/**
 * How many corners are known within bounds only.
 *
 * @throws FsynError SERVER where these leave open what the model needed
 */
function requireBehaviour(
  wanted: Corners,
  scores: CellScores,
  { scoring, floor }: BenchmarkSettings,
): number {
  const bounds = cellBounds(scores, scoring);
  if (bounds === null) return 0;
  const ends = { low: cornerValues(wanted, bounds.low), high: cornerValues(wanted, bounds.high) };
  const open = (['full', 'textOnly', 'imageOnly', 'empty'] as const).filter(
    (corner) => ends.low[corner] !== ends.high[corner],
  );
  const found = new Set<Behaviour>();
  for (let choice = 0; choice < 2 ** open.length; choice++) {
    const corners = { ...ends.low };
    for (const [i, corner] of open.entries()) if ((choice >> i) & 1) corners[corner] = ends.high[corner];
    found.add(behaviourOf(corners, floor));
  }
  if (found.size === 1) return open.length;
  throw new FsynError(
    'SERVER',
    `What the answer needs is left open, ${[...found].join(' or ')}: the server gives no probability for ${open.join(', ')}.`,
  );
}

function headOf(settings: BenchmarkSettings, model: Vlm, dataset: Dataset, sample: Sample): AuditHead {
  const identity = {
    schema: auditSchema,
    model: model.name,
    modelFingerprint: model.fingerprint,
    dataset: dataset.name,
    datasetVersion: dataset.version,
    sample: sample.id,
  };
  return {
    ...identity,
    key: contentKey({ ...identity, settings, versions: currentVersions() }),
    family: sample.family,
    grounding: sample.grounding ?? null,
    question: sample.question,
    expected: sample.answer,
  };
}

/** Rows of before by key. A torn last line, of a run that was killed, is cut off. */
function readKnown(path: string, resume: boolean): Map<string, AuditRecord> {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (text !== '' && !resume) {
    throw new FsynError('RESULTS', `${path} holds rows; go on with them (resume) or choose another folder.`);
  }
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length !== text.length) writeFileSync(path, whole);
  const rows = whole.split('\n').filter((line) => line !== '');
  return new Map(
    rows.map((line, i) => {
      try {
        const record = JSON.parse(line) as AuditRecord;
        if (record.schema === auditSchema && typeof record.key === 'string') return [record.key, record];
      } catch {
        // Said below.
      }
      throw new FsynError('RESULTS', `${path}:${i + 1} is no row of an audit.`);
    }),
  );
}
