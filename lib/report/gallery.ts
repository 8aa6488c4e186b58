import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { FsynError, invalidArgument } from '../errors.js';
import { loadSharp } from '../vlm/images/sharp.js';
import type { PreparedSample } from '../vlm/types.js';

/** Pictures of the samples that a report shows, one JSON line each, beside the result rows. */
export const galleryFile = 'gallery.jsonl';
/** Version of the picture lines. */
const gallerySchema = 1;
const largestSide = 256;

/** The picture of one sample on one model: players depend on the model's grid. */
export interface GalleryRecord {
  readonly schema: number;
  readonly model: string;
  readonly dataset: string;
  readonly sample: string;
  /** Size of the picture in pixels; its longer side is at most 256. */
  readonly width: number;
  readonly height: number;
  /** PNG, base64. */
  readonly png: string;
  /** [4 * image players]: x0, y0, x1, y1 of every player in pixels of the picture, clipped to it. */
  readonly boxes: readonly number[];
}

/**
 * Makes the gallery line of a prepared sample. Pure: the caller appends it to gallery.jsonl.
 *
 * @param identity names as in the result rows of the sample
 */
export async function galleryRecord(
  identity: { readonly model: string; readonly dataset: string; readonly sample: string },
  { image, imagePlayers }: Pick<PreparedSample, 'image' | 'imagePlayers'>,
): Promise<GalleryRecord> {
  const [imageHeight, imageWidth] = image.shape;
  if (!(imageHeight > 0 && imageWidth > 0)) throw invalidArgument('image', 'pixels', image.shape.join(' x '));
  const scale = Math.min(1, largestSide / Math.max(imageHeight, imageWidth));
  const width = Math.max(1, Math.round(imageWidth * scale));
  const height = Math.max(1, Math.round(imageHeight * scale));
  const pixels = image.data.subarray(0, 3 * imageHeight * imageWidth);
  const sharp = await loadSharp();
  const png = await sharp(pixels, { raw: { width: imageWidth, height: imageHeight, channels: 3 } })
    .resize(width, height, { fit: 'fill' })
    .png({ compressionLevel: 9 })
    .toBuffer();
  const limits = [width, height, width, height];
  const factors = [width / imageWidth, height / imageHeight];
  const boxes = Array.from(imagePlayers.boxes, (edge, i) => {
    const scaled = Math.min(Math.max(edge * factors[i % 2], 0), limits[i % 4]);
    return Math.round(100 * scaled) / 100;
  });
  const { model, dataset, sample } = identity;
  return { schema: gallerySchema, model, dataset, sample, width, height, png: png.toString('base64'), boxes };
}

const withoutIt = 'The file may be deleted: the report then has no pictures.';

/** Key by which rows find their picture. */
export function galleryKey(row: { model: string; dataset: string; sample: string }): string {
  return JSON.stringify([row.model, row.dataset, row.sample]);
}

/**
 * Reads a folder's pictures; empty when it has no gallery.jsonl. A sample that a resumed run drew twice is
 * kept once.
 *
 * @throws FsynError RESULTS naming file and line of a line that is not a picture
 */
export async function readGallery(folder: string): Promise<Map<string, GalleryRecord>> {
  const path = join(folder, galleryFile);
  const found = new Map<string, GalleryRecord>();
  for await (const { value, where } of readJsonLines(path)) {
    const schema = (value as { schema?: unknown } | null)?.schema;
    if (schema !== gallerySchema) {
      throw new FsynError(
        'RESULTS',
        `${where} has gallery version ${String(schema)}, expected ${gallerySchema}. ${withoutIt}`,
      );
    }
    if (!isGalleryRecord(value))
      throw new FsynError('RESULTS', `${where} is not a complete gallery line. ${withoutIt}`);
    found.set(galleryKey(value), value);
  }
  return found;
}

/** Whether a parsed line is a whole picture of this version. */
export function isGalleryRecord(value: unknown): value is GalleryRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { schema, model, dataset, sample, png, width, height, boxes } = value as Partial<GalleryRecord>;
  return (
    schema === gallerySchema &&
    [model, dataset, sample, png].every((text) => typeof text === 'string') &&
    [width, height].every((size) => Number.isInteger(size) && Number(size) > 0) &&
    // It goes into the page as it is.
    /^[A-Za-z0-9+/]+=*$/.test(String(png)) &&
    Array.isArray(boxes) &&
    boxes.every(Number.isFinite)
  );
}

/**
 * Lines of a side file as JSON. A torn last line, which a killed run leaves, is passed over; any other bad
 * line is an error.
 */
export async function* readJsonLines(path: string): AsyncGenerator<{ value: unknown; where: string }> {
  if (!existsSync(path)) return;
  let torn: FsynError | null = null;
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
    if (torn) throw torn;
    const where = `${path}:${++number}`;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      const remedy = '`fsyn bench --resume` sets the line aside, or delete the file: it is an extra.';
      torn = new FsynError('RESULTS', `${where} is not JSON. ${remedy}`, { cause });
      continue;
    }
    yield { value, where };
  }
}
