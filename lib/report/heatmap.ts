import { tiedPairs } from '../cells/ranking.js';
import { loadSharp } from '../vlm/images/sharp.js';
import type { ImagePlayers, RgbImage } from '../vlm/types.js';

/** Red for positive, blue for negative scores, scaled so that the largest magnitude is full. */
export interface HeatColour {
  readonly red: number;
  readonly green: number;
  readonly blue: number;
  /** 0..1 */
  readonly strength: number;
}

/** The magnitude of the strongest score, 0 where there is none: what colours are scaled by. */
export function largestMagnitude(scores: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < scores.length; i++) largest = Math.max(largest, Math.abs(scores[i]));
  return largest;
}

/** What to say of a picture or a question whose scores show nothing; empty where they differ. */
export function blankness(scores: ArrayLike<number>, modality: 'image' | 'text'): string {
  if (scores.length < 2 || tiedPairs(scores) < 1) return '';
  return scores[0] === 0 ? `no ${modality} scores` : `all ${modality} scores are equal`;
}

/** Colour of a score relative to the largest magnitude (> 0). */
export function heatColour(score: number, largest: number): HeatColour {
  const strength = largest > 0 ? Math.min(Math.abs(score) / largest, 1) : 0;
  return score >= 0
    ? { red: 214, green: 39, blue: 40, strength }
    : { red: 31, green: 119, blue: 180, strength };
}

/**
 * Draws the image players' scores over a pale grey copy of the image and encodes it as PNG: on the image's
 * own colours, red on a red object could not be seen. Small images are enlarged so that cells can be.
 *
 * @param image [height, width, 3]
 * @param scores one per image player; where players' boxes overlap (tiles), their mean is drawn
 * @param scale magnitude of the full colour; by default the largest that is drawn
 */
export async function overlayPng(
  image: RgbImage,
  players: ImagePlayers,
  scores: Float64Array,
  scale?: number,
): Promise<Buffer> {
  const [height, width] = image.shape;
  const heat = paintScores(players, scores, height, width);
  const largest = scale ?? largestMagnitude(heat);
  const blended = Buffer.alloc(3 * height * width);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const { red, green, blue, strength } = heatColour(heat[pixel], largest);
    const alpha = 0.8 * strength;
    const grey = paleGrey(image.data, 3 * pixel);
    for (const [channel, colour] of [red, green, blue].entries())
      blended[3 * pixel + channel] = Math.round((1 - alpha) * grey + alpha * colour);
  }
  return enlargedPng(blended, width, height);
}

/** The image alone as PNG, of the size that `overlayPng` draws. */
export function picturePng({ data, shape: [height, width] }: RgbImage): Promise<Buffer> {
  return enlargedPng(Buffer.from(data), width, height);
}

/** Luma (ITU-R BT.601) of a pixel, half way to white. */
function paleGrey(data: ArrayLike<number>, at: number): number {
  return 127.5 + (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 2;
}

async function enlargedPng(pixels: Buffer, width: number, height: number): Promise<Buffer> {
  const scale = Math.max(1, Math.ceil(384 / Math.max(height, width)));
  const sharp = await loadSharp();
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize(width * scale, height * scale, { kernel: 'nearest' })
    .png()
    .toBuffer();
}

/**
 * The image players' scores alone, as a transparent PNG to lay over the picture.
 *
 * @param players boxes [count, 4] in pixels of the picture
 */
export async function heatPng(
  size: { readonly width: number; readonly height: number },
  players: Pick<ImagePlayers, 'count' | 'boxes'>,
  scores: ArrayLike<number>,
  scale?: number,
): Promise<Buffer> {
  const { width, height } = size;
  const heat = paintScores(players, scores, height, width);
  const largest = scale ?? largestMagnitude(heat);
  const pixels = Buffer.alloc(4 * height * width);
  for (let pixel = 0; pixel < height * width; pixel++) {
    const { red, green, blue, strength } = heatColour(heat[pixel], largest);
    pixels.set([red, green, blue, Math.round(255 * 0.65 * strength)], 4 * pixel);
  }
  const sharp = await loadSharp();
  return sharp(pixels, { raw: { width, height, channels: 4 } })
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/** Score of every pixel: shape [height * width], 0 where no player lies. */
function paintScores(
  players: Pick<ImagePlayers, 'count' | 'boxes'>,
  scores: ArrayLike<number>,
  height: number,
  width: number,
): Float64Array {
  const sum = new Float64Array(height * width);
  const count = new Uint16Array(height * width);
  for (let player = 0; player < players.count; player++) {
    const [x0, y0, x1, y1] = players.boxes.subarray(4 * player, 4 * player + 4);
    for (let y = Math.max(0, Math.round(y0)); y < Math.min(height, Math.round(y1)); y++) {
      for (let x = Math.max(0, Math.round(x0)); x < Math.min(width, Math.round(x1)); x++) {
        sum[y * width + x] += scores[player];
        count[y * width + x]++;
      }
    }
  }
  return sum.map((value, i) => (count[i] > 0 ? value / count[i] : 0));
}
