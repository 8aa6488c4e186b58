import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';

/** One column of a text table. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly value: (row: Row) => string;
}

/** A column with its cells as text, the title first; [lines of the cell] per row. */
interface Drawn {
  readonly align: 'left' | 'right';
  readonly cells: readonly (readonly string[])[];
  readonly width: number;
}

const gap = '  ';

/**
 * A plain text table with aligned columns and a rule under the head; no trailing blanks. Characters that take
 * two columns of a terminal are counted as two.
 *
 * @param width columns that a line may take. A wider table goes on below, with its first columns again; a
 *   cell that is too wide by itself is broken into lines. Without it a row is always one line.
 * @param repeated how many first columns tell the rows apart
 */
export function textTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width = Number.POSITIVE_INFINITY,
  repeated = 1,
): string {
  const drawn = columns.map((column) => draw(column, rows));
  const rest = drawn.slice(repeated);
  if (total(drawn) <= width || rest.length === 0) return block(drawn);
  const share = Math.floor(width / 2 / repeated);
  const first = drawn.slice(0, repeated).map((column) => narrow(column, share));
  const blocks: Drawn[][] = [];
  for (const column of rest) {
    const current = blocks.at(-1);
    if (current && total([...current, column]) <= width) current.push(column);
    else blocks.push([...first, narrow(column, width - total(first) - gap.length)]);
  }
  return blocks.map(block).join('\n\n');
}

function draw<Row>({ title, align = 'right', value }: Column<Row>, rows: readonly Row[]): Drawn {
  const cells = [title, ...rows.map(value)].map((text) => [text]);
  return { align, cells, width: Math.max(...cells.map(([text]) => stringWidth(text))) };
}

/** Breaks cells that are wider than that. */
function narrow(column: Drawn, width: number): Drawn {
  if (column.width <= width) return column;
  const cells = column.cells.map(([text]) => wrapAnsi(text, width, { hard: true }).split('\n'));
  return { ...column, cells, width: Math.max(...cells.flat().map((line) => stringWidth(line))) };
}

function total(columns: readonly Drawn[]): number {
  return columns.reduce((sum, { width }) => sum + width, 0) + gap.length * (columns.length - 1);
}

function block(columns: readonly Drawn[]): string {
  const lines = columns[0].cells.flatMap((_, row) => {
    const height = Math.max(...columns.map(({ cells }) => cells[row].length));
    return Array.from({ length: height }, (_, line) =>
      columns
        .map((column) => padded(column, column.cells[row][line] ?? ''))
        .join(gap)
        .trimEnd(),
    );
  });
  const headHeight = Math.max(...columns.map(({ cells }) => cells[0].length));
  lines.splice(headHeight, 0, columns.map(({ width }) => '-'.repeat(width)).join(gap));
  return lines.join('\n');
}

function padded({ align, width }: Drawn, text: string): string {
  const blanks = ' '.repeat(width - stringWidth(text));
  return align === 'left' ? text + blanks : blanks + text;
}

/** Breaks the lines of a text that are wider than that, between words; indented lines go on indented. */
export function wrapText(text: string, width = Number.POSITIVE_INFINITY): string {
  return text
    .split('\n')
    .map((line) => {
      if (stringWidth(line) <= width) return line;
      const indent = /^ */.exec(line)![0];
      const wrapped = wrapAnsi(line.slice(indent.length), width - indent.length - 2, { trim: true });
      return wrapped
        .split('\n')
        .map((part, i) => `${indent}${i > 0 ? gap : ''}${part}`)
        .join('\n');
    })
    .join('\n');
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
