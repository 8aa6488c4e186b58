import { closestMatch } from 'leven';

/**
 * What a mistyped word may have meant, to be put behind a message: `; did you mean "presence"?`, or nothing
 * where no known word is near (at most a third of its letters, and three, differ).
 */
export function suggestion(word: string, known: readonly string[]): string {
  const folded = word.toLowerCase();
  const near = known.filter((candidate) => candidate.length > 0);
  const found = closestMatch(
    folded,
    near.map((candidate) => candidate.toLowerCase()),
    { maxDistance: Math.min(3, Math.max(1, Math.floor(word.length / 3))) },
  );
  const match = near.find((candidate) => candidate.toLowerCase() === found);
  return match === undefined ? '' : `; did you mean ${JSON.stringify(match)}?`;
}
