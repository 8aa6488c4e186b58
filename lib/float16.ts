const bits32 = new Uint32Array(1);
const value32 = new Float32Array(bits32.buffer);

/** IEEE half precision bits of a float32 value, rounded to nearest, ties to even; overflow gives infinity. */
export function toHalf(value: number): number {
  value32[0] = value;
  const bits = bits32[0];
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x33000001) return sign;
  const exponent = magnitude >>> 23;
  // Below 2^-14 the half is subnormal: the significand with its hidden bit moves further right.
  const shift = exponent < 113 ? 126 - exponent : 13;
  const significand = exponent < 113 ? (magnitude & 0x7fffff) | 0x800000 : magnitude - (112 << 23);
  const kept = significand >>> shift;
  const rest = significand - kept * 2 ** shift;
  const half = 2 ** (shift - 1);
  const up = rest > half || (rest === half && (kept & 1) === 1);
  return sign | (kept + (up ? 1 : 0));
}

/** Value of IEEE half precision bits. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function toHalfArray(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, toHalf);
}

export function fromHalfArray(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, fromHalf);
}
