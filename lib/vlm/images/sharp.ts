/**
 * sharp, loaded with the first picture: it takes a fifth of a second, and most of what fsyn does needs none.
 */
export async function loadSharp() {
  return (await import('sharp')).default;
}
