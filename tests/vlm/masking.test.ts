import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadVlm } from '../../lib/vlm/load.js';
import { maskPixels, maskTokens } from '../../lib/vlm/masking.js';
import type { Vlm, WhiteBox } from '../../lib/vlm/types.js';
import { pattern } from './pattern.js';

const folder = fileURLToPath(new URL('../golden/', import.meta.url));

/** Indices at which two sequences differ. */
function changes(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  expect(a.length).toBe(b.length);
  return Array.from({ length: a.length }, (_, i) => i).filter((i) => a[i] !== b[i]);
}

function allBut(player: number, count: number): Uint8Array {
  const present = new Uint8Array(count).fill(1);
  present[player] = 0;
  return present;
}

describe('one absent player changes exactly its own pixels or token: LLaVA', () => {
  let vlm: Vlm;
  let box: WhiteBox;
  let imageCount: number;
  let textCount: number;
  beforeAll(async () => {
    vlm = await loadVlm(`${folder}vlm-llava`);
    // The noise baseline differs from the image almost everywhere, so that no change can hide.
    const sample = await vlm.prepare(pattern(28, 28), 'Is there a red circle?', {
      baseline: 'noise',
      maxNewTokens: 1,
    });
    box = sample.whiteBox!;
    imageCount = sample.imagePlayers.count;
    textCount = sample.textPlayers.count;
  });
  afterAll(() => vlm.dispose());

  it('every image player', () => {
    const original = box.visionFeeds[box.pixelInput].data as Float32Array;
    const baseline = box.baselinePixels.data;
    expect(imageCount).toBe(16);
    for (let player = 0; player < imageCount; player++) {
      const masked = maskPixels(original, baseline, box.pixelPlayers, allBut(player, imageCount));
      // The patch by its geometry, written down without the player map: 7 x 7 pixels of 28 x 28 in three
      // planes.
      const patch = new Set<number>();
      for (let c = 0; c < 3; c++) {
        for (let y = 0; y < 7; y++) {
          for (let x = 0; x < 7; x++) {
            patch.add(c * 784 + (Math.floor(player / 4) * 7 + y) * 28 + (player % 4) * 7 + x);
          }
        }
      }
      const changed = changes(original, masked);
      expect(changed.filter((i) => !patch.has(i))).toEqual([]);
      expect([...patch].filter((i) => masked[i] !== baseline[i])).toEqual([]);
      // Noise equals the image by chance at about one value in 256.
      expect(changed.length).toBeGreaterThan(130);
    }
  });

  it('every text player, in both ways of masking', () => {
    const positions = box.textPositions;
    for (let player = 0; player < textCount; player++) {
      for (const masking of ['remove', 'attend'] as const) {
        const masked = maskTokens(
          box.tokenIds,
          positions,
          allBut(player, textCount),
          box.padTokenId,
          masking,
        );
        expect(changes(box.tokenIds, masked.ids)).toEqual([positions[player]]);
        expect(masked.ids[positions[player]]).toBe(box.padTokenId);
        const attended = new Int32Array(masked.attention.length).fill(1);
        expect(changes(attended, masked.attention)).toEqual(masking === 'remove' ? [positions[player]] : []);
      }
    }
  });

  it('covers the image and the question without overlap', () => {
    expect(new Set(box.pixelPlayers)).toEqual(new Set(Array.from({ length: imageCount }, (_, i) => i)));
    for (let player = 0; player < imageCount; player++) {
      expect(box.pixelPlayers.filter((p) => p === player).length).toBe(3 * 49);
    }
    expect(new Set(box.textPositions).size).toBe(textCount);
    const image = new Set(box.imagePositions);
    expect(Array.from(box.textPositions).filter((p) => image.has(p))).toEqual([]);
  });
});
