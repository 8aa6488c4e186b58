import { type Column, decimal, textTable } from '../text-table.js';
import { type Interaction, interactionLabel } from './interaction.js';
import type { InteractionSet } from './interaction-set.js';
import type { Players } from './players.js';
import type { Provenance } from './provenance.js';

/** A text table of interactions, one a line, in their order. */
export function interactionTable(interactions: readonly Interaction[]): string {
  const errors = interactions.flatMap(({ standardError }) => standardError ?? []);
  const format = formatOf([...interactions.map(({ value }) => value), ...errors]);
  const columns: Column<Interaction>[] = [
    { title: 'interaction', align: 'left', value: interactionLabel },
    { title: 'value', value: ({ value }) => format(value) },
  ];
  if (errors.length > 0) {
    columns.push({
      title: 'standard error',
      value: ({ standardError }) => (standardError === undefined ? '-' : format(standardError)),
    });
  }
  return textTable(columns, interactions);
}

/** One form for all numbers of a table: four digits of the largest. */
function formatOf(values: readonly number[]): (value: number) => string {
  const largest = Math.max(0, ...values.filter(Number.isFinite).map(Math.abs));
  if (largest !== 0 && (largest < 1e-4 || largest >= 1e6)) return (value) => value.toExponential(3);
  const digits = largest === 0 ? 0 : Math.max(0, 3 - Math.floor(Math.log10(largest)));
  return (value) => (Number.isFinite(value) ? decimal(value, digits) : String(value));
}

interface Result {
  readonly index: string;
  readonly players: Players;
  readonly set: InteractionSet;
  readonly provenance: Provenance | null;
}

/** What a result is, in one line. */
export function headline({ index, players, set, provenance }: Result): string {
  const orders =
    set.minOrder === set.maxOrder ? `order ${set.maxOrder}` : `orders ${set.minOrder} to ${set.maxOrder}`;
  const scope = set.sides ? ' across modalities' : '';
  const spent = provenance?.spent.distinctCoalitions;
  // Files of other programs do not say what was spent.
  const from = Number.isFinite(spent) ? ` from ${spent} coalitions` : '';
  const how = provenance ? `estimated by ${provenance.estimator}${from}` : 'exact';
  return `${index} of ${players.count} players, ${orders}${scope}, ${how}`;
}

export function resultText(result: Result, strongest: readonly Interaction[]): string {
  const left = result.set.length - (result.set.minOrder === 0 ? 1 : 0) - strongest.length;
  const more = left > 0 ? `\n(${left} weaker ones)` : '';
  return `${headline(result)}\n\n${interactionTable(strongest)}${more}`;
}
