import type { ValueBounds } from '../metrics/bounds.js';
import type { Behaviour } from '../metrics/modality.js';
import type { ChanceMeasures } from './chance-measures.js';
import { type CurveMoments, type CurveName, type GroupDigest, CurveMoments as Moments } from './digest.js';
import type { MapTies } from './map-order.js';
import type { Measure } from './row-measures.js';
import type { ScoreShape } from './suspicion.js';

/** Explainers that are there to check the metric, not to be recommended. */
export const controlNames: readonly string[] = ['oracle', 'anti-oracle', 'mismatch', 'random'];
/** Controls that look at ground truth: no ranking of explainers contains them. */
export const truthControls: readonly string[] = ['oracle', 'anti-oracle', 'mismatch'];

/** A row with the Shapley interaction index in a pool. */
export interface PooledShapleyRow {
  readonly unit: number;
  readonly explainer: string;
  readonly shapley: Float64Array;
  readonly insertion: Float64Array;
  readonly deletion: Float64Array;
  readonly scale: number;
}

/**
 * The samples of one or more groups of one model side by side. A unit is one sample of one dataset; its
 * stratum is the dataset, so that resampling keeps the mix of datasets.
 */
export class Pool {
  readonly groups: readonly GroupDigest[];
  readonly units: number;
  readonly strata: Int32Array;
  /** In order of first appearance. */
  readonly explainers: readonly string[];
  readonly #offsets: readonly number[];

  constructor(groups: readonly GroupDigest[]) {
    this.groups = groups;
    let units = 0;
    this.#offsets = groups.map((group) => {
      units += group.samples.length;
      return units - group.samples.length;
    });
    this.units = units;
    this.strata = Int32Array.from(groups.flatMap((group, g) => group.samples.map(() => g)));
    this.explainers = [...new Set(groups.flatMap((group) => [...group.explainers.keys()]))];
  }

  get grounding(): readonly (string | null)[] {
    return this.groups.flatMap((group) => group.grounding);
  }

  /** What the model needed on every unit. */
  get behaviour(): readonly (Behaviour | null)[] {
    return this.groups.flatMap((group) => group.behaviour);
  }

  /** Random orders per sample; 0 where a sample has none. */
  get chanceOrders(): number {
    const orders = this.groups.flatMap((group) => group.chance.map((chance) => chance?.orders ?? 0));
    return orders.reduce((most, count) => Math.max(most, count), 0);
  }

  /** [units] mean of a measure over the unit's random orders, NaN without any. */
  chance(measure: keyof ChanceMeasures): Float64Array {
    return Float64Array.from(
      this.groups.flatMap((group) => group.chance.map((chance) => chance?.[measure] ?? Number.NaN)),
    );
  }

  /** [units] the largest raw F_syn of the unit's random orders. */
  get bestChance(): Float64Array {
    return this.chance('best');
  }

  get cornerDividend(): Float64Array {
    return Float64Array.from(this.groups.flatMap((group) => group.cornerDividend));
  }

  /** Share of correct answers among the samples with a measured row; NaN without any. */
  get accuracy(): number {
    const known = this.groups.flatMap((group) => group.correct).filter((correct) => correct !== null);
    return known.filter(Boolean).length / known.length;
  }

  /** [units], NaN where the explainer has no measured row. */
  column(explainer: string, measure: Measure): Float64Array {
    const result = new Float64Array(this.units).fill(Number.NaN);
    for (const [g, group] of this.groups.entries()) {
      const digest = group.explainers.get(explainer);
      if (digest) result.set(digest.column(measure, group.samples.length), this.#offsets[g]);
    }
    return result;
  }

  /** Ties of an explainer's maps by unit. */
  ties(explainer: string): Map<number, MapTies> {
    return new Map(
      this.groups.flatMap((group, g) =>
        Array.from(group.explainers.get(explainer)?.ties ?? [], ([sample, ties]): [number, MapTies] => [
          this.#offsets[g] + sample,
          ties,
        ]),
      ),
    );
  }

  /** What the scores of an explainer from outside look like, in no order; nothing of fsyn's own. */
  shapes(explainer: string): ScoreShape[] {
    return this.groups.flatMap((group) => group.explainers.get(explainer)?.shapes ?? []);
  }

  /** What is known within bounds only of an explainer's values, by unit. */
  bounds(explainer: string): Map<number, ValueBounds> {
    return new Map(
      this.groups.flatMap((group, g) =>
        Array.from(
          group.explainers.get(explainer)?.bounds ?? [],
          ([sample, bounds]): [number, ValueBounds] => [this.#offsets[g] + sample, bounds],
        ),
      ),
    );
  }

  /** Failed rows of an explainer by error code, with the first message of each. */
  failures(explainer: string): { code: string; count: number; message: string }[] {
    const byCode = new Map<string, { code: string; count: number; message: string }>();
    for (const group of this.groups) {
      for (const { code, message } of group.explainers.get(explainer)?.failures.values() ?? []) {
        const entry = byCode.get(code);
        if (entry) entry.count++;
        else byCode.set(code, { code, count: 1, message });
      }
    }
    return [...byCode.values()];
  }

  /** Moments of a curve over all measured rows of an explainer; null without any. */
  curve(explainer: string, name: CurveName): CurveMoments | null {
    let merged: CurveMoments | null = null;
    for (const group of this.groups) {
      const moments = group.explainers.get(explainer)?.curves.get(name);
      if (!moments) continue;
      merged ??= new Moments(moments.mean.length);
      merged.merge(moments);
    }
    return merged;
  }

  get shapleyRows(): PooledShapleyRow[] {
    return this.groups.flatMap((group, g) =>
      group.shapleyRows.map((row) => ({ ...row, unit: this.#offsets[g] + row.sample })),
    );
  }
}
