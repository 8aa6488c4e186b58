/** A design with an intercept, inverted in the sense of least squares. */
export interface PseudoInverse {
  /** [columns][rows]; row 0 of the result is the intercept's. */
  readonly rows: Float64Array[];
  /** Diagonal of the projection onto the design, one per row of the design. */
  readonly leverage: Float64Array;
}

/**
 * Pseudo-inverse of [1 X] for 0/1 rows X, by modified Gram-Schmidt with one repetition; null when the columns
 * depend on each other.
 */
export function pseudoInverse(states: readonly Uint8Array[]): PseudoInverse | null {
  const rows = states.length;
  const columns = states[0].length + 1;
  if (rows < columns) return null;
  const q: Float64Array[] = [];
  const r: Float64Array[] = [];
  for (let c = 0; c < columns; c++) {
    const column = Float64Array.from(states, (state) => (c === 0 ? 1 : state[c - 1]));
    const whole = Math.sqrt(dot(column, column));
    const upper = new Float64Array(columns);
    for (let pass = 0; pass < 2; pass++) {
      for (let b = 0; b < c; b++) {
        const share = dot(q[b], column);
        upper[b] += share;
        for (let i = 0; i < rows; i++) column[i] -= share * q[b][i];
      }
    }
    const rest = Math.sqrt(dot(column, column));
    if (!(rest > 1e-9 * whole)) return null;
    upper[c] = rest;
    q.push(column.map((x) => x / rest));
    r.push(upper);
  }
  const leverage = new Float64Array(rows);
  for (const column of q) for (let i = 0; i < rows; i++) leverage[i] += column[i] * column[i];
  // R^-1 Q', from the last row up.
  const inverse = q.map((column) => column.slice());
  for (let c = columns - 1; c >= 0; c--) {
    for (let i = 0; i < rows; i++) {
      for (let later = c + 1; later < columns; later++) inverse[c][i] -= r[later][c] * inverse[later][i];
      inverse[c][i] /= r[c][c];
    }
  }
  return { rows: inverse, leverage };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
