import { describe, expect, it } from 'vitest';
import { speedupPicture } from '../../lib/report/speedup.js';

const arms = [
  { name: 'SII as published', cells: 2818, imageStates: 2818, flops: 8e9, seconds: 7 },
  { name: 'F_syn planned', cells: 58, imageStates: 20, flops: 5e7, seconds: 0.06 },
];

describe('the picture of the speed-up', () => {
  it('shows every arm with its numbers and stands alone', async () => {
    const svg = await speedupPicture({ model: 'm', dataset: 'd', arms });
    for (const text of ['SII as published', 'F_syn planned', '2820', '58', '0.06', 'GFLOP'])
      expect(svg).toContain(text);
    expect(svg).toMatch(/^<svg[^>]*role="img"[^>]*><style>/);
    expect(svg).not.toMatch(/href="http/);
  });

  it('leaves a measure out that an arm lacks', async () => {
    const svg = await speedupPicture({
      model: 'm',
      dataset: 'd',
      arms: arms.map((arm) => ({ ...arm, flops: Number.NaN })),
    });
    expect(svg).not.toContain('GFLOP');
    expect(svg).toContain('seconds');
  });
});
