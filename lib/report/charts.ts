import type { TopLevelSpec } from 'vega-lite';
import { type CurveMoments, type CurveName, curveNames } from './digest.js';
import type { ExplainerStyle } from './explainer-style.js';
import { bySynergy } from './report-tables.js';
import type { ScopeAnalysis } from './scope.js';
import { chartSvg, ink } from './svg.js';

export interface ForestRow {
  readonly name: string;
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Means with intervals, largest first, against a vertical reference. */
export function forestChart(
  id: string,
  rows: readonly ForestRow[],
  style: ExplainerStyle,
  options: {
    readonly title: string;
    readonly reference: number;
    readonly width?: number;
    readonly label: string;
  },
): Promise<string> {
  const sorted = [...rows]
    .filter((row) => !Number.isNaN(row.estimate))
    .sort((a, b) => b.estimate - a.estimate);
  const values = sorted.map((row) => ({
    title: style.title(row.name),
    estimate: row.estimate,
    low: finite(row.low),
    high: finite(row.high),
    colour: style.colour(row.name),
  }));
  const y = {
    field: 'title',
    type: 'nominal',
    sort: null,
    title: null,
    axis: { ticks: false, domain: false, labelLimit: 200 },
  };
  const colour = { field: 'colour', type: 'nominal', scale: null };
  const spec = {
    width: options.width ?? 330,
    height: { step: 24 },
    data: { values },
    layer: [
      { mark: { type: 'rule', color: ink.faint }, encoding: { x: { datum: options.reference } } },
      {
        mark: { type: 'rule', strokeWidth: 3, opacity: 0.55 },
        encoding: { y, x: { field: 'low', type: 'quantitative' }, x2: { field: 'high' }, color: colour },
      },
      {
        mark: { type: 'point', filled: true, size: 75, opacity: 1 },
        encoding: {
          y,
          x: { field: 'estimate', type: 'quantitative', title: options.title, axis: { tickCount: 6 } },
          color: colour,
        },
      },
    ],
  };
  return chartSvg(spec as TopLevelSpec, id, options.label);
}

/**
 * Visual, textual and joint rank of every ranked explainer, joined by lines: crossing lines are
 * contradictions.
 */
export function contradictionChart(id: string, scope: ScopeAnalysis, style: ExplainerStyle): Promise<string> {
  const axes = ['visual (image SRG)', 'textual (text SRG)', 'joint (F_syn)'];
  const ranked = scope.explainers.filter((row) => row.ranks && !Number.isNaN(row.ranks.synergy.estimate));
  const values = ranked.flatMap(({ name, ranks }) =>
    [ranks!.image, ranks!.text, ranks!.synergy].map((rank, i) => ({
      title: style.title(name),
      axis: axes[i],
      rank: rank.estimate,
    })),
  );
  const names = ranked.map((row) => row.name);
  const x = {
    field: 'axis',
    type: 'ordinal',
    sort: axes,
    title: null,
    axis: { labelAngle: 0, orient: 'top', domain: false, ticks: false, labelPadding: 10 },
  };
  const y = {
    field: 'rank',
    type: 'quantitative',
    title: 'rank (1 = best)',
    scale: { reverse: true, domain: [0.6, Math.max(names.length, 2) + 0.4], nice: false, zero: false },
    axis: { values: names.map((_, i) => i + 1), format: 'd', grid: false },
  };
  const color = { field: 'title', type: 'nominal', scale: style.scale(names), legend: null };
  const label = (axis: string, align: string, dx: number) => ({
    transform: [{ filter: { field: 'axis', equal: axis } }],
    mark: { type: 'text', align, dx },
    encoding: { x, y, text: { field: 'title' } },
  });
  const spec = {
    width: 520,
    height: Math.max(150, 34 * names.length),
    data: { values },
    layer: [
      {
        mark: { type: 'line', strokeWidth: 2.5, point: { size: 70 } },
        encoding: {
          x,
          y,
          color,
          detail: { field: 'title' },
          strokeDash: { field: 'title', type: 'nominal', scale: style.dash(names), legend: null },
        },
      },
      label(axes[2], 'left', 10),
    ],
  };
  return chartSvg(
    spec as TopLevelSpec,
    id,
    'Ranks of explainers by image SRG, by text SRG and by F_syn; crossing lines contradict each other',
  );
}

/** At most this many points are drawn; statistics always use all rows. */
export const scatterLimit = 1500;

/** Every row's F_syn against its exact index, both raw. Null without rows that have the index. */
export function shapleyScatter(
  id: string,
  scope: ScopeAnalysis,
  style: ExplainerStyle,
): Promise<string> | null {
  const points = scope.agreement?.points ?? [];
  if (points.length === 0) return null;
  const stride = Math.ceil(points.length / scatterLimit);
  const values = points
    .filter((_, i) => i % stride === 0)
    .map(({ explainer, synergy, shapley }) => ({ title: style.title(explainer), synergy, shapley }));
  const names = style.names.filter((name) => points.some((point) => point.explainer === name));
  const all = values.flatMap(({ synergy, shapley }) => [synergy, shapley]);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const axis = (field: string, title: string) => ({
    field,
    type: 'quantitative',
    title,
    scale: { zero: false, nice: true },
  });
  const spec = {
    width: 320,
    height: 320,
    layer: [
      {
        data: { values: [{ from: low, to: high }] },
        mark: { type: 'rule', color: ink.faint, strokeDash: [3, 3] },
        encoding: {
          x: { field: 'from', type: 'quantitative' },
          x2: { field: 'to' },
          y: { field: 'from', type: 'quantitative' },
          y2: { field: 'to' },
        },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 32, opacity: 0.65 },
        encoding: {
          x: axis('shapley', 'exact Shapley interaction index (area)'),
          y: axis('synergy', 'F_syn raw'),
          color: { field: 'title', type: 'nominal', scale: style.scale(names), title: null },
        },
      },
    ],
  };
  return chartSvg(spec as TopLevelSpec, id, 'F_syn of every row against its exact Shapley interaction index');
}

/** Spearman correlation of F_syn with the index at each step. Null without rows that have the index. */
export function stepChart(id: string, scope: ScopeAnalysis): Promise<string> | null {
  const steps = scope.agreement?.steps;
  if (!steps) return null;
  const series = ['mean', 'insertion', 'deletion'] as const;
  const values = series.flatMap((part) =>
    steps
      .filter((step) => !Number.isNaN(step[part].estimate))
      .map((step) => ({
        part,
        step: step.step,
        rho: step[part].estimate,
        low: part === 'mean' ? finite(step[part].low) : null,
        high: part === 'mean' ? finite(step[part].high) : null,
        shared: step.shared,
      })),
  );
  const x = { field: 'step', type: 'quantitative', title: 'share of players s', scale: { domain: [0, 1] } };
  const scale = { domain: series, range: ['var(--c0)', 'var(--c1)', 'var(--c2)'] };
  const color = { field: 'part', type: 'nominal', title: null, scale, legend: opaque };
  const spec = {
    width: 320,
    height: 320,
    data: { values },
    layer: [
      { mark: { type: 'rule', color: ink.faint }, encoding: { y: { datum: 0 } } },
      {
        transform: [{ filter: 'datum.low !== null && datum.high !== null' }],
        mark: { type: 'area', opacity: 0.18 },
        encoding: { x, y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' }, color },
      },
      {
        mark: { type: 'line', strokeWidth: 2 },
        encoding: {
          x,
          y: { field: 'rho', type: 'quantitative', title: 'Spearman correlation with the index' },
          color,
        },
      },
      {
        mark: { type: 'point', size: 45, strokeWidth: 2, filled: false },
        encoding: {
          x,
          y: { field: 'rho', type: 'quantitative' },
          color,
          shape: { condition: { test: 'datum.shared', value: 'square' }, value: 'circle' },
        },
      },
    ],
  };
  return chartSvg(spec as TopLevelSpec, id, 'Correlation of F_syn with the exact index at every step');
}

/** A legend's symbols take the opacity of the first layer, which is a faint band. */
const opaque = { symbolOpacity: 1, symbolType: 'circle' };

const panelTitles: Readonly<Record<CurveName, string>> = {
  imageInsertion: 'image insertion: value',
  textInsertion: 'text insertion: value',
  synergyInsertion: 'synergy, insertion: dividend',
  imageDeletion: 'image deletion: value',
  textDeletion: 'text deletion: value',
  synergyDeletion: 'synergy, deletion: dividend',
};

/** More bands than this in one panel cover each other. */
const mostBands = 4;

/**
 * The explainers whose curves get a band: all where they are few, else Random and the one with the largest
 * F_syn.
 */
export function bandedExplainers({ explainers }: ScopeAnalysis): string[] {
  const measured = explainers.filter(({ samples }) => samples > 0);
  if (measured.length <= mostBands) return measured.map(({ name }) => name);
  const best = bySynergy(measured).find(({ control }) => !control);
  return measured.map(({ name }) => name).filter((name) => name === 'random' || name === best?.name);
}

/**
 * Mean curves, three panels a row.
 *
 * @param banded explainers with 95 % bands of the mean
 */
export function curveChart(
  id: string,
  curves: ReadonlyMap<string, ReadonlyMap<CurveName, CurveMoments>>,
  steps: readonly number[],
  style: ExplainerStyle,
  banded: readonly string[],
): Promise<string> {
  const names = style.names.filter((name) => (curves.get(name)?.size ?? 0) > 0);
  const panel = (curve: CurveName) => {
    const values = names.flatMap((name) => {
      const moments = curves.get(name)!.get(curve)!;
      return steps.map((step, i) => {
        const band = banded.includes(name) ? 1.96 * moments.standardError(i) : Number.NaN;
        const mean = moments.mean[i];
        return {
          title: style.title(name),
          step,
          mean,
          low: finite(mean - band),
          high: finite(mean + band),
        };
      });
    });
    const x = {
      field: 'step',
      type: 'quantitative',
      title: curve.endsWith('Insertion') ? 'share inserted' : 'share deleted',
      axis: { tickCount: 5 },
    };
    const color = { field: 'title', type: 'nominal', scale: style.scale(names), title: null, legend: opaque };
    return {
      title: panelTitles[curve],
      width: 245,
      height: 190,
      data: { values },
      layer: [
        {
          transform: [{ filter: 'datum.low !== null' }],
          mark: { type: 'area', opacity: 0.2 },
          encoding: {
            x,
            y: { field: 'low', type: 'quantitative', title: null },
            y2: { field: 'high' },
            color,
          },
        },
        {
          mark: { type: 'line', strokeWidth: 2 },
          encoding: {
            x,
            y: { field: 'mean', type: 'quantitative', title: null, scale: { zero: false } },
            color,
            strokeDash: { field: 'title', type: 'nominal', scale: style.dash(names), title: null },
          },
        },
      ],
    };
  };
  const order: CurveName[] = [...curveNames].sort(
    (a, b) => Number(a.endsWith('Deletion')) - Number(b.endsWith('Deletion')),
  );
  const spec = {
    columns: 3,
    concat: order.map(panel),
    resolve: { scale: { color: 'shared', strokeDash: 'shared' } },
  };
  return chartSvg(spec as TopLevelSpec, id, 'Mean insertion, deletion and synergy curves of every explainer');
}

/** Mean seconds of an explanation against mean F_syn. Null without times. */
export function costChart(id: string, scope: ScopeAnalysis, style: ExplainerStyle): Promise<string> | null {
  const rows = scope.explainers.filter((row) => row.ranks && row.secondsPerSample >= 0 && row.samples > 0);
  if (rows.length === 0) return null;
  const values = rows.map((row) => ({
    title: style.title(row.name),
    // A logarithmic axis has no zero; a clock does not resolve less than this either.
    seconds: Math.max(row.secondsPerSample, 1e-5),
    estimate: row.means.raw.estimate,
    low: finite(row.means.raw.low),
    high: finite(row.means.raw.high),
  }));
  const names = rows.map((row) => row.name);
  const x = {
    field: 'seconds',
    type: 'quantitative',
    scale: { type: 'log', nice: true },
    title: 'seconds per explanation (log)',
    axis: { tickCount: 5, format: '~g', grid: false },
  };
  const color = { field: 'title', type: 'nominal', scale: style.scale(names), title: null, legend: opaque };
  const spec = {
    width: 520,
    height: 260,
    data: { values },
    layer: [
      {
        mark: { type: 'rule', strokeWidth: 2, opacity: 0.5 },
        encoding: { x, y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' }, color },
      },
      {
        mark: { type: 'point', filled: true, size: 80, opacity: 1 },
        encoding: {
          x,
          y: { field: 'estimate', type: 'quantitative', title: 'F_syn raw', scale: { zero: false } },
          color,
        },
      },
    ],
  };
  return chartSvg(spec as TopLevelSpec, id, 'Cost of an explanation against its F_syn');
}

/** JSON for charts has no NaN; a missing bound draws nothing. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
