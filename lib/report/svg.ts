import type { TopLevelSpec } from 'vega-lite';

/** Colours are CSS variables of the page, so that one drawing reads in light, in dark and on paper. */
export const ink = {
  text: 'var(--ink)',
  faint: 'var(--faint)',
  grid: 'var(--grid)',
  accent: 'var(--accent)',
};

const config = {
  background: 'transparent',
  font: 'system-ui, sans-serif',
  view: { stroke: 'transparent' },
  axis: {
    domainColor: ink.faint,
    gridColor: ink.grid,
    tickColor: ink.faint,
    labelColor: ink.text,
    titleColor: ink.text,
    titleFontWeight: 'normal',
    labelFontSize: 12,
    titleFontSize: 12,
  },
  header: { labelColor: ink.text, titleColor: ink.text, labelFontSize: 12, labelFontWeight: 'bold' },
  legend: { labelColor: ink.text, titleColor: ink.text, labelFontSize: 12, labelLimit: 220 },
  title: { color: ink.text, fontSize: 13, anchor: 'start' },
  text: { color: ink.text, fontSize: 12 },
  rule: { color: ink.text },
} as const;

/**
 * Draws a Vega-Lite chart as an SVG element to be put into a page. Equal input gives equal bytes.
 *
 * @param id unique in the page
 * @param label what a screen reader says
 */
export async function chartSvg(spec: TopLevelSpec, id: string, label: string): Promise<string> {
  // Loaded with the first chart: they take a third of a second.
  const [{ compile }, { parse, View }] = await Promise.all([import('vega-lite'), import('vega')]);
  const compiled = compile({ ...spec, config } as TopLevelSpec).spec;
  const view = new View(parse(compiled), { renderer: 'none' });
  try {
    return adaptSvg(await view.toSVG(), label, id);
  } finally {
    view.finalize();
  }
}

/** Makes ids unique in the page, whatever was drawn before in this process, and names the drawing. */
function adaptSvg(svg: string, label: string, prefix: string): string {
  const ids = [...svg.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
  const renamed = ids.reduce(
    (text, id, i) =>
      text.replaceAll(`id="${id}"`, `id="${prefix}-${i}"`).replaceAll(`url(#${id})`, `url(#${prefix}-${i})`),
    svg,
  );
  // The drawing is one picture with one name: parts with roles of their own would be pictures without any.
  const single = renamed.replace(/(<g\b[^>]*?) role="[^"]*" aria-roledescription="[^"]*"/g, '$1');
  return single.replace(/^<svg\b/, `<svg role="img" aria-label="${label.replace(/[&<>"]/g, ' ')}"`);
}
