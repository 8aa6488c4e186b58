import { createHash } from 'node:crypto';
import type { PreparedSample } from '../../vlm/types.js';
import type { SampleIdentity } from '../types.js';

/** Version of the records; a helper in another process checks it. */
export const playersSchema = 1;

/** The files of one sample, as paths that the reader of the record can open. */
export interface PlayersFiles {
  /** The picture as it was read: oriented, not resized. */
  readonly picture: string;
  /** The picture as the model sees it, before normalisation, one file for each tile. */
  readonly views: readonly string[];
  /** The normalised pixel input, on request. */
  readonly pixels?: string;
}

/**
 * All that someone needs to give scores for a sample elsewhere: what there is to score, in which order, and
 * what for.
 */
export interface PlayersRecord extends SampleIdentity {
  readonly schema: typeof playersSchema;
  /**
   * Ties scores to the players that they were made for: equal exactly where picture, prompt, players and
   * decision are.
   */
  readonly hash: string;
  readonly files: PlayersFiles;
  readonly question: string;
  /** The whole prompt, one image token for each place of the image. */
  readonly prompt: string;
  /** Prompt and answer; null where the model does not show its tokens. */
  readonly tokenIds: readonly number[] | null;
  readonly decision: {
    readonly text: string;
    readonly answer: string;
    /** Place in `tokenIds`, and the token there: row `position - 1` of the logits predicts it. */
    readonly position: number | null;
    readonly tokenId: number | null;
  };
  readonly imagePlayers: {
    readonly count: number;
    readonly tiles: number;
    readonly rows: number;
    readonly columns: number;
    /** Tile after tile, each row by row. */
    readonly order: 'tiles, rows, columns';
    /** [x0, y0, x1, y1] of every player in pixels of `files.picture`. */
    readonly boxes: readonly (readonly number[])[];
    /** Place in `tokenIds` of every image feature, in feature order, and the player of each (-1: none). */
    readonly positions: readonly number[] | null;
    readonly featurePlayers: readonly number[] | null;
  };
  readonly textPlayers: {
    readonly count: number;
    readonly labels: readonly string[];
    readonly kinds: readonly string[];
    /** Place in the prompt's tokens. */
    readonly positions: readonly number[];
    /** Half-open character ranges of the question; -1, -1 outside of it. */
    readonly spans: readonly (readonly number[])[];
  };
}

/** The record of a prepared sample. */
export function playersRecord(
  sample: PreparedSample,
  identity: SampleIdentity,
  files: PlayersFiles,
): PlayersRecord {
  const { answer, imagePlayers, textPlayers, whiteBox } = sample;
  const { count, tiles, rows, columns, boxes } = imagePlayers;
  return {
    schema: playersSchema,
    dataset: identity.dataset,
    sample: identity.sample,
    hash: playersHash(sample),
    files,
    question: sample.question,
    prompt: sample.prompt,
    tokenIds: whiteBox ? Array.from(whiteBox.tokenIds) : null,
    decision: {
      text: answer.decisionToken,
      answer: answer.text,
      position: whiteBox?.decisionPosition ?? null,
      tokenId: whiteBox ? whiteBox.tokenIds[whiteBox.decisionPosition] : null,
    },
    imagePlayers: {
      count,
      tiles,
      rows,
      columns,
      order: 'tiles, rows, columns',
      boxes: rowsOf(boxes, 4),
      positions: whiteBox ? Array.from(whiteBox.imagePositions) : null,
      featurePlayers: whiteBox ? Array.from(whiteBox.featurePlayers) : null,
    },
    textPlayers: {
      count: textPlayers.count,
      labels: textPlayers.labels,
      kinds: textPlayers.kinds,
      positions: Array.from(textPlayers.positions),
      spans: rowsOf(textPlayers.spans, 2),
    },
  };
}

/** SHA-256 of what decides what a score belongs to, 32 hexadecimal digits of it. */
export function playersHash(sample: PreparedSample): string {
  const { answer, imagePlayers, textPlayers } = sample;
  const hash = createHash('sha256');
  for (const view of sample.views ?? [sample.image]) {
    hash.update(`${view.shape.join('x')}\n`).update(view.data);
  }
  const { tiles, rows, columns } = imagePlayers;
  hash.update(
    JSON.stringify([
      sample.prompt,
      answer.text,
      answer.decisionIndex,
      [tiles, rows, columns],
      textPlayers.labels,
      Array.from(textPlayers.positions),
    ]),
  );
  return hash.digest('hex').slice(0, 32);
}

function rowsOf(values: ArrayLike<number>, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, i) =>
    Array.from({ length: width }, (_, j) => values[i * width + j]),
  );
}

/**
 * A sample's id as the name of a file: what a file system may not take is percent-encoded, as Python's
 * `urllib.parse.quote(id, safe="")` does; beyond it a leading dot, which hides files.
 */
export function fileNameOf(id: string): string {
  return encodeURIComponent(id)
    .replace(/[!'()*]/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/^\./u, '%2E');
}
