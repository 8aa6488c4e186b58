import type { Interval } from '../statistics/bootstrap.js';
import { signedRankTest } from '../statistics/tests.js';
import type { MapOrder } from './map-order.js';
import type { MeasuredRecord, PictureFit } from './record.js';

/** What looks like a mistake in scores that were made outside of fsyn. */
export type SuspicionKind = 'constant' | 'one-player' | 'nearly-constant' | 'transposed' | 'sign';

export interface Suspicion {
  readonly kind: SuspicionKind;
  /** Samples that it is seen on, of those that can show it. */
  readonly samples: number;
  readonly of: number;
  /** A sentence for a person. */
  readonly message: string;
}

/** What a row of an explainer from outside says of its scores. */
export interface ScoreShape {
  readonly onePlayer: boolean;
  readonly nearlyConstant: boolean;
  readonly pictureFit: PictureFit | undefined;
}

/** Share of the sum of sizes that is all mass. */
const allMass = 0.99;

/** Differences that are smaller than this share of the scores are the rounding of float32. */
const roundingShare = 1e-6;

/** Fewer words say little: the one that matters may well hold all. */
const fewestPlayers = 4;

/** Eight signs alike reach p < 0.01. */
const fewestSamples = 8;
const significance = 0.01;

/** What the scores of a row look like; undefined for an explainer of fsyn's own. */
export function scoreShape({
  explainerFingerprint,
  attribution,
  pictureFit,
}: MeasuredRecord): ScoreShape | undefined {
  if (explainerFingerprint === undefined) return undefined;
  const maps = [attribution.image, attribution.text].filter(({ length }) => length >= fewestPlayers);
  return { onePlayer: maps.some(isOnePlayer), nearlyConstant: maps.some(isNearlyConstant), pictureFit };
}

function isOnePlayer(scores: readonly number[]): boolean {
  const largest = scores.reduce((most, score) => Math.max(most, Math.abs(score)), 0);
  // Divided first: scores of any finite size have a sum then.
  return largest > 0 && 1 >= allMass * scores.reduce((sum, score) => sum + Math.abs(score / largest), 0);
}

function isNearlyConstant(scores: readonly number[]): boolean {
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  return low !== high && high / 2 - low / 2 < (roundingShare * Math.max(Math.abs(low), Math.abs(high))) / 2;
}

/**
 * Names what looks like a mistake: more than half of the maps with all scores equal, with differences of
 * rounding only, or with 99 % of their mass on one player; image maps that the picture explains better when
 * they are transposed (Wilcoxon's signed ranks, p < 0.01, 8 samples at least); and a mean SRG below zero in
 * both modalities.
 */
export function suspicionsOf(
  shapes: readonly ScoreShape[],
  maps: MapOrder,
  { imageSrg, textSrg }: Readonly<Record<'imageSrg' | 'textSrg', Interval>>,
): Suspicion[] {
  if (shapes.length === 0) return [];
  const mostly = (kind: SuspicionKind, samples: number, of: number, message: string): Suspicion[] =>
    2 * samples > of ? [{ kind, samples, of, message }] : [];
  const count = (wanted: (shape: ScoreShape) => boolean) => shapes.filter(wanted).length;
  const below = imageSrg.high < 0 && textSrg.high < 0 && shapes.length >= fewestSamples;
  return [
    ...mostly('constant', maps.constant, maps.samples, 'all scores of a modality are equal'),
    ...mostly(
      'nearly-constant',
      count(({ nearlyConstant }) => nearlyConstant),
      shapes.length,
      'scores differ by less than float32 rounds: their order is noise; subtract what they share before rounding',
    ),
    ...mostly(
      'one-player',
      count(({ onePlayer }) => onePlayer),
      shapes.length,
      'one player holds 99 % of all mass: the others have hardly an order',
    ),
    ...transposed(shapes),
    ...mostly(
      'sign',
      below ? shapes.length : 0,
      shapes.length,
      'image and text SRG are below zero: larger scores are to mean more important',
    ),
  ];
}

function transposed(shapes: readonly ScoreShape[]): Suspicion[] {
  const gains = shapes.flatMap(({ pictureFit }) =>
    pictureFit ? [pictureFit.transposed - pictureFit.declared] : [],
  );
  if (gains.length < fewestSamples) return [];
  const { positiveRanks, n, pValue } = signedRankTest(gains);
  if (pValue >= significance || 2 * positiveRanks <= (n * (n + 1)) / 2) return [];
  const samples = gains.filter((gain) => gain > 0).length;
  const message = 'image maps fit the picture better when they are transposed: scores go row by row';
  return [{ kind: 'transposed', samples, of: gains.length, message }];
}
