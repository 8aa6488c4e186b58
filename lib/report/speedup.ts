import type { TopLevelSpec } from 'vega-lite';
import { chartSvg, ink } from './svg.js';

/** The numbers of one way of computing a metric that the picture shows. */
export interface SpeedupBar {
  readonly name: string;
  readonly cells: number;
  readonly imageStates: number;
  readonly flops: number;
  readonly seconds: number;
}

/** Colours of the chart's variables where the SVG stands alone, in light and in dark. */
const standalone =
  '<style>:root{--ink:#222;--faint:#888;--grid:#ddd;--accent:#2563eb}' +
  '@media(prefers-color-scheme:dark){:root{--ink:#eee;--faint:#999;--grid:#444;--accent:#60a5fa}}</style>';

/**
 * One glance at what the ratio is made of: cells, image encodings, operations and seconds of every arm on
 * logarithmic axes, published arms faint, planned ones in colour.
 */
export async function speedupPicture(report: {
  readonly model: string;
  readonly dataset: string;
  readonly arms: readonly SpeedupBar[];
}): Promise<string> {
  const measures = [
    { title: 'cells', value: (arm: SpeedupBar) => arm.cells },
    { title: 'images encoded', value: (arm: SpeedupBar) => arm.imageStates },
    { title: 'GFLOP', value: (arm: SpeedupBar) => arm.flops / 1e9 },
    { title: 'seconds', value: (arm: SpeedupBar) => arm.seconds },
  ].filter(({ value }) => report.arms.every((arm) => Number.isFinite(value(arm))));
  const panel = ({ title, value }: (typeof measures)[number], index: number) => {
    const values = report.arms.map((arm) => ({
      arm: arm.name,
      value: value(arm),
      label: Number(value(arm).toPrecision(3)).toString(),
      planned: arm.name.endsWith('planned'),
    }));
    const y = {
      field: 'arm',
      type: 'nominal',
      sort: null,
      title: null,
      // Panels share their rows; names once are enough.
      axis: index === 0 ? { ticks: false, domain: false, labelLimit: 200 } : null,
    };
    // A logarithmic axis has no zero: points on rules from the smallest value's decade say the same without
    // lying bars.
    const x = {
      field: 'value',
      type: 'quantitative',
      scale: { type: 'log' },
      title,
      axis: { tickCount: 4, format: '~s' },
    };
    return {
      width: 170,
      height: { step: 26 },
      data: { values },
      layer: [
        {
          mark: { type: 'point', filled: true, size: 110, opacity: 1 },
          encoding: {
            y,
            x,
            color: { condition: { test: 'datum.planned', value: ink.accent }, value: ink.faint },
          },
        },
        {
          mark: { type: 'text', dy: -11, color: ink.text },
          encoding: { y, x, text: { field: 'label' } },
        },
      ],
    };
  };
  const spec = { hconcat: measures.map((measure, index) => panel(measure, index)), spacing: 18 };
  const label = `Cost of F_syn and of the Shapley interaction index on ${report.model}, ${report.dataset}, as published and planned`;
  const svg = await chartSvg(spec as unknown as TopLevelSpec, 'speedup', label);
  return svg.replace(/^(<svg[^>]*>)/, `$1${standalone}`);
}
