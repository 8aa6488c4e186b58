import { type Behaviour, behaviours } from '../metrics/modality.js';
import { bootstrap, bootstrapMean, type Interval } from '../statistics/bootstrap.js';
import { rocAuc, type Separation } from '../statistics/separation.js';
import type { AuditedRecord, AuditRecord } from './record.js';

/** What an audit says of one model on some questions. */
export interface AuditScope {
  /** Null for all datasets, or all families, together. */
  readonly dataset: string | null;
  readonly family: string | null;
  readonly samples: number;
  readonly failed: number;
  /** Mean shares with 95 % bootstrap intervals. */
  readonly image: Interval;
  readonly text: Interval;
  readonly both: Interval;
  /** Fraction of the questions by behaviour. */
  readonly behaviour: Readonly<Record<Behaviour, number>>;
  /** Fraction of the questions that need both, with its interval. */
  readonly needsBoth: Interval;
  /** Accuracy on all questions, and on those that need both; NaN where no answer can be judged. */
  readonly accuracy: number;
  readonly accuracyWhereBoth: Interval;
}

export interface ModelAudit {
  readonly model: string;
  readonly overall: AuditScope;
  /** By dataset and family, where there are several. */
  readonly parts: readonly AuditScope[];
  /**
   * How well the joint share tells grounded questions from those that one modality answers; null without such
   * labels.
   */
  readonly separation: Separation | null;
}

/** Statistics of an audit, model by model in the order of the rows. */
export function summariseAudit(records: readonly AuditRecord[], seed = 0): ModelAudit[] {
  const models = [...new Set(records.map(({ model }) => model))];
  return models.map((model) => {
    const own = records.filter((record) => record.model === model);
    const parts = [...new Set(own.map(({ dataset, family }) => JSON.stringify([dataset, family])))];
    return {
      model,
      overall: scopeOf(own, null, null, seed),
      parts:
        parts.length === 1
          ? []
          : parts.map((part) => {
              const [dataset, family] = JSON.parse(part) as [string, string];
              const rows = own.filter((record) => record.dataset === dataset && record.family === family);
              return scopeOf(rows, dataset, family, seed);
            }),
      separation: separationOf(own, seed),
    };
  });
}

function scopeOf(
  records: readonly AuditRecord[],
  dataset: string | null,
  family: string | null,
  seed: number,
): AuditScope {
  const rows = audited(records);
  const mean = (value: (row: AuditedRecord) => number) => bootstrapMean(rows.map(value), { seed });
  const share = (kind: Behaviour) =>
    rows.filter(({ behaviour }) => behaviour === kind).length / Math.max(1, rows.length);
  const judged = rows.filter(({ correct }) => correct !== null);
  const joint = judged.filter(({ behaviour }) => behaviour === 'both');
  return {
    dataset,
    family,
    samples: rows.length,
    failed: records.length - rows.length,
    image: mean(({ shares }) => shares.image),
    text: mean(({ shares }) => shares.text),
    both: mean(({ shares }) => shares.both),
    behaviour: Object.fromEntries(behaviours.map((kind) => [kind, share(kind)])) as Record<Behaviour, number>,
    needsBoth: mean(({ behaviour }) => (behaviour === 'both' ? 1 : 0)),
    accuracy: judged.filter(({ correct }) => correct).length / judged.length,
    accuracyWhereBoth: bootstrap(
      joint.length,
      (indices) => indices.reduce((sum, i) => sum + (joint[i].correct ? 1 : 0), 0) / indices.length,
      { seed },
    ),
  };
}

function separationOf(records: readonly AuditRecord[], seed: number): Separation | null {
  const rows = audited(records).filter(({ grounding }) => grounding !== null);
  const joint = (wanted: boolean) =>
    rows.filter(({ grounding }) => (grounding === 'grounded') === wanted).map(({ shares }) => shares.both);
  const [positive, negative] = [joint(true), joint(false)];
  return positive.length === 0 || negative.length === 0 ? null : rocAuc(positive, negative, { seed });
}

export function audited(records: readonly AuditRecord[]): AuditedRecord[] {
  return records.filter((record): record is AuditedRecord => record.status === 'ok');
}

/** Questions from most to least in need of both modalities; ties by model, dataset and id. */
export function rankQuestions(records: readonly AuditRecord[]): AuditedRecord[] {
  const name = ({ model, dataset, sample }: AuditedRecord) => `${model}\0${dataset}\0${sample}`;
  return audited(records).sort(
    (a, b) => b.shares.both - a.shares.both || (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0),
  );
}
