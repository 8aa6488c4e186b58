import { FsynError } from '../../errors.js';
import type { EmbedGraph } from './graphs.js';

/**
 * Checks that a token has the embedding that it has alone, whatever its neighbours: the tokens of a prompt
 * are embedded once for all cells.
 *
 * @throws FsynError MODEL_CONTRACT naming the file
 */
export async function requireTokenwise(
  embed: EmbedGraph,
  vocabulary: number,
  signal?: AbortSignal,
): Promise<void> {
  const ids = Int32Array.from({ length: 6 }, (_, i) => Math.floor(((2 * i + 1) * vocabulary) / 12));
  const { values, hidden } = await embed.run(ids, signal);
  for (const [i, id] of ids.entries()) {
    const alone = (await embed.run(Int32Array.of(id), signal)).values;
    const largest = alone.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const apart = alone.some((value, k) => !(Math.abs(value - values[i * hidden + k]) <= 1e-5 * largest));
    if (!apart) continue;
    throw new FsynError(
      'MODEL_CONTRACT',
      `Expected an embedding per token from ${JSON.stringify(embed.graph.path)}; that of token ${id} depends on its neighbours.`,
    );
  }
}
