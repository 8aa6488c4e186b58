/** The colours of a page under one way of reading it. */
interface Theme {
  readonly colours: Readonly<Record<string, string>>;
  /**
   * Explainers besides the controls, in the order of tables; told apart by readers who confuse red and green.
   */
  readonly series: readonly string[];
}

const light: Theme = {
  colours: {
    paper: '#fff',
    card: '#f6f7f9',
    ink: '#1c2330',
    faint: '#5d6675',
    grid: '#dfe3e9',
    accent: '#0b5cad',
    holds: '#0a7a3d',
    open: '#8a6100',
    fails: '#b3261e',
    random: '#7b8494',
    oracle: '#2f8f4e',
    'anti-oracle': '#a8433b',
    mismatch: '#94620f',
  },
  series: [
    '#0068b5',
    '#c94f00',
    '#00866a',
    '#b0468f',
    '#8a6d00',
    '#1f95c9',
    '#7048b6',
    '#8c564b',
    '#4f7a10',
    '#d02670',
  ],
};

const dark: Theme = {
  colours: {
    paper: '#14181f',
    card: '#1d232d',
    ink: '#e6e9ef',
    faint: '#98a2b3',
    grid: '#333c4a',
    accent: '#7ab8ff',
    holds: '#5dd28e',
    open: '#e8bd55',
    fails: '#ff8a80',
    random: '#9aa4b4',
    oracle: '#6fce8d',
    'anti-oracle': '#ef8d84',
    mismatch: '#d9ab5c',
  },
  series: [
    '#5fb0f5',
    '#ff9a52',
    '#41d3ae',
    '#ec92cf',
    '#e0c046',
    '#7fd3f7',
    '#b99cf2',
    '#c9998c',
    '#a5d455',
    '#ff7fb2',
  ],
};

/** Ink on white, and everything faint a little darker, because printers drop what is pale. */
const print: Theme = {
  colours: {
    ...light.colours,
    card: '#fff',
    ink: '#000',
    faint: '#555',
    grid: '#ccc',
    accent: '#003e80',
    random: '#777',
  },
  series: light.series,
};

/** Number of colours `--c0`, `--c1`, ... that explainers share in turn. */
export const seriesColours = light.series.length;

/** The colours as CSS variables, for screens of both kinds and for paper. */
export const paletteVariables = {
  light: variables(light),
  dark: variables(dark),
  print: variables(print),
};

/** A colour on paper by the name of its CSS variable, for drawings that leave the page. */
export function colourOf(name: string): string {
  const series = /^c(\d+)$/.exec(name);
  return (series ? print.series[Number(series[1])] : print.colours[name]) ?? print.colours.ink;
}

function variables({ colours, series }: Theme): string {
  const named = Object.entries(colours).map(([name, colour]) => `--${name}: ${colour};`);
  return [...named, ...series.map((colour, i) => `--c${i}: ${colour};`)].join(' ');
}
