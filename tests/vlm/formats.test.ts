import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeImage } from '../../lib/vlm/images/decode.js';
import { ClipImageProcessor, toOriginal } from '../../lib/vlm/images/processor.js';
import { pattern } from './pattern.js';

interface Golden {
  files: { file: string; shape: number[]; pixels: string }[];
  padding: { config: Record<string, unknown>; size: [number, number]; values: string }[];
}

const folder = fileURLToPath(new URL('../golden/vlm-formats/', import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as Golden;
const scratch = mkdtempSync(join(tmpdir(), 'fsyn-formats-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function floats(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
}

describe('decodeImage equals Pillow', () => {
  it.each(golden.files)('$file', async ({ file, shape, pixels }) => {
    const image = await decodeImage(`${folder}${file}`);
    expect(image.shape).toEqual(shape);
    const wanted = Buffer.from(pixels, 'base64');
    // Two JPEG decoders may round the inverse transform differently by one step.
    const tolerance = file.endsWith('.jpg') ? 1 : 0;
    const worst = Math.max(...image.data.map((value, i) => Math.abs(value - wanted[i])));
    expect(worst).toBeLessThanOrEqual(tolerance);
  });

  it('turns CMYK by its EXIF orientation like any other picture', async () => {
    const turned = await sharp(`${folder}cmyk.jpg`, { ignoreIcc: true })
      .pipelineColourspace('cmyk')
      .toColourspace('cmyk')
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 100 })
      .toBuffer();
    expect((await decodeImage(turned)).shape).toEqual([19, 12, 3]);
  });
});

describe('a bitmap', () => {
  it('that ends early is refused', async () => {
    for (const { file } of golden.files.filter(({ file }) => file.endsWith('.bmp'))) {
      const bytes = readFileSync(`${folder}${file}`);
      for (const length of [2, 20, 40, bytes.length - 40]) {
        await expect(decodeImage(bytes.subarray(0, length)), `${file} ${length}`).rejects.toMatchObject({
          code: 'IMAGE',
        });
      }
    }
  });

  it('of more pixels than the limit is refused before they are allocated', async () => {
    const bytes = Uint8Array.from(readFileSync(`${folder}24.bmp`));
    new DataView(bytes.buffer).setInt32(18, 2 ** 30, true);
    await expect(decodeImage(bytes)).rejects.toThrow(/exceed the limit of 268402689/);
  });
});

describe('an image from a stranger', () => {
  it('is not drawn when it is SVG, however it begins', async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
    for (const text of [svg, `<?xml version="1.0"?>${svg}`, `\ufeff${svg}`, ` \n${svg}`]) {
      await expect(decodeImage(Buffer.from(text))).rejects.toMatchObject({
        code: 'IMAGE',
        message: expect.stringContaining('expected JPEG, PNG'),
      });
    }
  });

  it('keeps to the limit of pixels', async () => {
    const png = `${folder}rgb16.png`;
    await expect(decodeImage(png, { limitInputPixels: 19 * 12 - 1 })).rejects.toMatchObject({
      code: 'IMAGE',
    });
    expect((await decodeImage(png, { limitInputPixels: 19 * 12 })).shape).toEqual([12, 19, 3]);
    await expect(decodeImage(png, { limitInputPixels: 0 })).rejects.toThrow(/limitInputPixels/);
    // 120 bytes that claim 4 gigapixels.
    const bomb = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    new DataView(bomb.buffer, bomb.byteOffset).setUint32(16, 65536);
    new DataView(bomb.buffer, bomb.byteOffset).setUint32(20, 65536);
    await expect(decodeImage(bomb)).rejects.toMatchObject({ code: 'IMAGE' });
  });

  it('is a regular file, and not a pointer to one', async () => {
    await expect(decodeImage('/dev/zero')).rejects.toThrow(/a device or a pipe/);
    await expect(decodeImage(scratch)).rejects.toThrow(/a folder/);
    await expect(decodeImage('picture.png\0.jpg')).rejects.toMatchObject({
      code: 'IMAGE',
      message: expect.stringContaining('\\u0000'),
    });
    const pointer = join(scratch, 'picture.png');
    writeFileSync(
      pointer,
      `version https://git-lfs.github.com/spec/v1\noid sha256:${'ab'.repeat(32)}\nsize 12345\n`,
    );
    await expect(decodeImage(pointer)).rejects.toThrow(/picture\.png" is a Git LFS pointer.*git lfs pull/);
  });

  it('is given up when its reader no longer wants it', async () => {
    await expect(
      decodeImage(`${folder}rgb16.png`, { signal: AbortSignal.abort(new Error('enough')) }),
    ).rejects.toThrow('enough');
  });
});

describe("LLaVA's do_pad", () => {
  it.each(golden.padding)('pads $size to a square with the mean colour', async ({ config, size, values }) => {
    const result = await new ClipImageProcessor(config, true).process(pattern(...size));
    expect(result.planes).toEqual(floats(values));
  });

  it('leads boxes back past the bars', async () => {
    // 20 x 40 padded to 40 x 40 with 10 rows above, then halved: processed (x, y) is original (2x, 2y - 10).
    const config = { do_pad: true, size: { height: 20, width: 20 }, do_center_crop: false };
    const { frame } = await new ClipImageProcessor(config, true).process(pattern(20, 40));
    expect(toOriginal(frame, [1, 5, 3, 15])).toEqual([2, 0, 6, 20]);
    const cropped = { ...config, do_center_crop: true, crop_size: { height: 10, width: 10 } };
    const { frame: inner } = await new ClipImageProcessor(cropped, true).process(pattern(20, 40));
    expect(toOriginal(inner, [0, 0, 10, 10])).toEqual([10, 0, 30, 20]);
  });

  it('is nothing on a single image of another processor, and refused with a size', async () => {
    const config = { do_pad: true, size: { height: 20, width: 20 }, do_center_crop: false };
    const plain = await new ClipImageProcessor({ ...config, do_pad: false }).process(pattern(20, 40));
    const type = 'CLIPImageProcessor';
    for (const processor of [
      new ClipImageProcessor(config),
      new ClipImageProcessor({ ...config, image_processor_type: type }, true),
    ]) {
      expect((await processor.process(pattern(20, 40))).planes).toEqual(plain.planes);
    }
    const sized = { ...config, pad_size: { height: 40, width: 40 } };
    expect(() => new ClipImageProcessor(sized)).toThrow(/do_pad and pad_size/);
  });
});
