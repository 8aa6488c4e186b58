/** One column of a text table. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly value: (row: Row) => string;
}

/**
 * A plain text table with aligned columns and a rule under the head; one line per row, no trailing blanks.
 */
export function textTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.value(row))),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i].length)));
  const lines = cells.map((line) =>
    line
      .map((cell, i) => (columns[i].align === 'left' ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return lines.join('\n');
}

/**
 * Fixed decimals with a sign for negatives only; `-` for NaN, so that a missing number never looks like one.
 */
export function decimal(value: number, digits = 3): string {
  if (Number.isNaN(value)) return '-';
  const text = value.toFixed(digits);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text;
}

/** `estimate [low, high]`, or the estimate alone where there is no interval. */
export function interval(value: { estimate: number; low: number; high: number }, digits = 3): string {
  if (Number.isNaN(value.low)) return decimal(value.estimate, digits);
  return `${decimal(value.estimate, digits)} [${decimal(value.low, digits)}, ${decimal(value.high, digits)}]`;
}
