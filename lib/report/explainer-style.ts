import { seriesColours } from './palette.js';
import { controlNames } from './pool.js';

/** How explainers are named and coloured, the same everywhere in a page. */
export class ExplainerStyle {
  readonly names: readonly string[];
  readonly #titles: ReadonlyMap<string, string>;

  /** @param names every explainer of the report, in the order of tables */
  constructor(names: readonly string[], titles: ReadonlyMap<string, string>) {
    this.names = names;
    this.#titles = titles;
  }

  title(name: string): string {
    return this.#titles.get(name) ?? name;
  }

  /** Controls are grey or muted; the others take the palette in order. */
  colour(name: string): string {
    if (controlNames.includes(name)) return `var(--${name})`;
    const position = this.names.filter((other) => !controlNames.includes(other)).indexOf(name);
    return `var(--c${position % seriesColours})`;
  }

  /** Vega-Lite colour scale over titles. */
  scale(names: readonly string[]) {
    return {
      domain: names.map((name) => this.title(name)),
      range: names.map((name) => this.colour(name)),
    };
  }

  /** Dashed where it is a control, for readers who do not see colours and for paper. */
  dash(names: readonly string[]) {
    return {
      domain: names.map((name) => this.title(name)),
      range: names.map((name) => (controlNames.includes(name) ? [4, 3] : [1, 0])),
    };
  }
}
