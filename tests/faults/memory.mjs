// Whether memory stays flat: `node --expose-gc memory.mjs [evaluations=2000] [sessions=1000]`. Prints the
// resident memory at every tenth, and fails when the last half grew by more than 2 % and 4 MB, as a leak per
// piece would.
import { works } from './work.mjs';

const tenths = 10;

/** Resident megabytes after each tenth of the pieces of one kind. */
async function residentOver(kind, times) {
  const once = await works[kind]();
  const sizes = [];
  for (let tenth = 1; tenth <= tenths; tenth++) {
    for (let i = 0; i < times / tenths; i++) await once();
    globalThis.gc();
    sizes.push(process.memoryUsage().rss / 1e6);
  }
  return sizes;
}

const [evaluations = 2000, sessions = 1000] = process.argv.slice(2).map(Number);
for (const [kind, times] of [
  ['evaluations', evaluations],
  ['loads', sessions],
]) {
  const sizes = await residentOver(kind, times);
  const growth = sizes[tenths - 1] - sizes[tenths / 2 - 1];
  const flat = growth < Math.max(4, 0.02 * sizes[tenths / 2 - 1]);
  console.log(
    `${times} ${kind}: ${sizes.map((size) => size.toFixed(1)).join(' ')} MB, ${flat ? 'flat' : 'GROWS'}`,
  );
  if (!flat) process.exitCode = 1;
}
