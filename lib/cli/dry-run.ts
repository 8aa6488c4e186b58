import { formatBytes } from '../bytes.js';
import type { DatasetPlan, SamplePlan } from '../runner/plan.js';
import { type Column, textTable, wrapText } from '../text-table.js';

/** The plan of a run as a page of text. */
export function renderDryRun(plans: readonly DatasetPlan[], width?: number): string {
  const parts = plans.map((plan) => `${heading(plan)}\n\n${sampleTable(plan, width)}\n\n${remarks(plan)}\n`);
  const total = plans.reduce((sum, { total: { cells } }) => sum + cells, 0);
  const flops = plans.reduce((sum, { total: { flops } }) => sum + (flops ?? Number.NaN), 0);
  const cost = Number.isNaN(flops) ? 'operations unknown' : `about ${operations(flops)}`;
  const text = `${parts.join('\n')}\nThe run: about ${total} cells, ${cost}. Nothing was evaluated and nothing written.\n`;
  return wrapText(text, width);
}

function heading(plan: DatasetPlan): string {
  const shapley = plan.shapleySamples > 0 ? `, ${plan.shapleySamples} of them with SII` : '';
  return (
    `${plan.model} on ${plan.dataset}: ${plan.samples} samples${shapley}; ${plan.planned} planned\n` +
    `${plan.explainers} explainers, rankings drawn at random in their place`
  );
}

interface Line {
  readonly title: string;
  /** Undefined where it is not known. */
  readonly value: (sample: SamplePlan) => string | undefined;
}

const needed: readonly Line[] = [
  { title: 'cells, one explainer', value: ({ alone }) => String(alone.cells) },
  { title: '  on image states', value: ({ alone }) => String(alone.imageStates) },
  { title: 'cells, all explainers', value: ({ cells }) => String(cells) },
  { title: '  on image states', value: ({ imageStates }) => String(imageStates) },
  { title: '  on text states', value: ({ textStates }) => String(textStates) },
  { title: '  asked by explainers themselves', value: ({ explainerCells }) => String(explainerCells) },
  {
    title: '  if no two rankings shared a cell',
    value: ({ bound }) => `${bound.cells} on ${bound.imageStates}`,
  },
];

const planned: readonly Line[] = [
  { title: 'prefixes', value: ({ plan }) => plan && `${plan.prefixes} of ${plan.prefixTokens} tokens` },
  { title: 'suffixes', value: ({ plan }) => plan && `${plan.suffixes} of ${plan.suffixTokens} tokens` },
  {
    title: '  tokens run, of those with removed ones',
    value: ({ plan }) => plan && `${plan.suffixWork.tokens} of ${plan.suffixWork.withRemoved}`,
  },
  { title: 'batch: images', value: ({ plan }) => plan && String(plan.batches.vision) },
  { title: 'batch: prefixes', value: ({ plan }) => plan && String(plan.batches.prefix) },
  { title: 'batch: suffixes', value: ({ plan }) => plan && String(plan.batches.suffix) },
  { title: 'operations, planned', value: ({ plan }) => plan?.flops && operations(plan.flops.total) },
  {
    title: '  unshared, images once',
    value: ({ plan }) =>
      plan?.flops && `${operations(plan.flops.unshared)} (${times(plan.flops, 'unshared')})`,
  },
  {
    title: '  every cell alone',
    value: ({ plan }) => plan?.flops && `${operations(plan.flops.naive)} (${times(plan.flops, 'naive')})`,
  },
  { title: 'memory, at most', value: ({ plan }) => plan && formatBytes(plan.bytes.peak) },
  { title: '  budget', value: ({ plan }) => plan && formatBytes(plan.bytes.budget) },
  { title: '  smallest budget', value: ({ plan }) => plan && formatBytes(plan.bytes.least) },
  { title: '  workers', value: ({ plan }) => plan && String(plan.workers) },
];

function sampleTable({ perSample }: DatasetPlan, width: number | undefined): string {
  const columns: Column<Line>[] = [
    { title: 'per sample', align: 'left', value: (line) => line.title },
    ...perSample.map((sample) => ({
      title: `${sample.sample}${sample.shapley ? ' + SII' : ''}`,
      value: (line: Line) => line.value(sample) ?? '-',
    })),
  ];
  return textTable(columns, perSample.some(({ plan }) => plan) ? [...needed, ...planned] : needed, width);
}

function remarks({ perSample, uncounted }: DatasetPlan): string {
  const fallbacks = new Map(
    perSample.flatMap(({ plan }) => plan?.fallbacks ?? []).map(({ code, reason }) => [code, reason]),
  );
  const lines = [...fallbacks].map(([code, reason]) => `Fallback ${code}: ${reason}`);
  if (perSample.some(({ plan }) => plan === undefined)) lines.push('Every cell is one run of the model.');
  else if (lines.length === 0) lines.push('No fallbacks.');
  if (uncounted.length > 0) lines.push(`Passes inside explainers are not counted: ${uncounted.join(', ')}.`);
  return lines.join('\n');
}

function times(flops: { total: number; unshared: number; naive: number }, key: 'unshared' | 'naive'): string {
  return `${(flops[key] / flops.total).toFixed(1)}x`;
}

/** Floating-point operations with a decimal unit: `1.25 TFLOP`. */
function operations(flops: number): string {
  const [unit, size] = flops >= 1e15 ? ['P', 1e15] : flops >= 1e12 ? ['T', 1e12] : ['G', 1e9];
  return `${(flops / Number(size)).toPrecision(3)} ${unit}FLOP`;
}
