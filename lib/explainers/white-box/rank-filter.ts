/**
 * Rank-Gaussian filter of a map [rows, columns] (arXiv 2506.23270, section 3.3): the values of every 3 x 3
 * window are sorted and averaged with Gaussian weights around the middle rank, whose width is the window's
 * coefficient of variation. In a calm window that is the median, in a noisy one close to the mean. Borders
 * repeat the edge.
 */
export function rankGaussianFilter(map: Float64Array, rows: number, columns: number): Float64Array {
  const clamp = (value: number, size: number) => Math.max(0, Math.min(size - 1, value));
  return map.map((_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const window: number[] = [];
    for (let y = row - 1; y <= row + 1; y++) {
      for (let x = column - 1; x <= column + 1; x++) {
        window.push(map[clamp(y, rows) * columns + clamp(x, columns)]);
      }
    }
    return rankGaussianMean(window.sort((a, b) => a - b));
  });
}

function rankGaussianMean(sorted: readonly number[]): number {
  const count = sorted.length;
  const middle = (count - 1) / 2;
  const mean = sorted.reduce((sum, value) => sum + value, 0) / count;
  const deviation = Math.sqrt(sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count);
  const width = mean > 0 ? deviation / mean : 0;
  if (width === 0) return sorted[middle];
  let [sum, total] = [0, 0];
  for (const [rank, value] of sorted.entries()) {
    const weight = Math.exp(-((rank - middle) ** 2) / (2 * width ** 2));
    sum += weight * value;
    total += weight;
  }
  return sum / total;
}
