import { FsynError } from '../../errors.js';

/** Five times what the largest published processor makes of an image (Qwen2-VL: 12.8 million pixels). */
const mostPixels = 2 ** 26;

/**
 * Refuses sizes that a configuration asks for and nobody can want, before anything of that size is made.
 *
 * @param times how often every pixel is held
 * @throws FsynError MODEL_CONTRACT
 */
export function checkExtent(height: number, width: number, times = 1): void {
  if (height * width * times <= mostPixels) return;
  throw new FsynError(
    'MODEL_CONTRACT',
    `The configuration has the image made into ${width} x ${height} pixels${times === 1 ? '' : ` ${times} times`}; ` +
      `expected at most ${mostPixels} pixels.`,
  );
}
