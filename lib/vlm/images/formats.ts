/**
 * Formats that are decoded, by how their files begin. Everything else, SVG first of all, is a program or a
 * stranger.
 */
const signatures: readonly { readonly format: string; readonly offset: number; readonly bytes: string }[] = [
  { format: 'jpeg', offset: 0, bytes: '\xff\xd8\xff' },
  { format: 'png', offset: 0, bytes: '\x89PNG\r\n\x1a\n' },
  { format: 'gif', offset: 0, bytes: 'GIF8' },
  { format: 'webp', offset: 8, bytes: 'WEBP' },
  { format: 'tiff', offset: 0, bytes: 'II*\0' },
  { format: 'tiff', offset: 0, bytes: 'MM\0*' },
  { format: 'tiff', offset: 0, bytes: 'II+\0' },
  { format: 'tiff', offset: 0, bytes: 'MM\0+' },
  { format: 'avif', offset: 4, bytes: 'ftyp' },
  { format: 'bmp', offset: 0, bytes: 'BM' },
];

export const formatNames = 'JPEG, PNG, GIF, WebP, TIFF, AVIF or BMP';

/** Format of an image file by its first bytes; undefined for any other. */
export function imageFormat(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  return signatures.find(({ offset, bytes: mark }) => start.startsWith(mark, offset))?.format;
}
