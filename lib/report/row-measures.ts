import { openMean } from './chance-measures.js';
import type { MeasuredRecord } from './record.js';

/**
 * The numbers of a row that a report keeps; curves are folded into moments and attributions are left on the
 * disk.
 */
export const measures = [
  'raw',
  'rawInsertion',
  'rawDeletion',
  'rawOpen',
  'normalised',
  'clipped',
  'imageSrg',
  'textSrg',
  'normalisedImageSrg',
  'normalisedTextSrg',
  'imagePointing',
  'imageEnergy',
  'imageIou',
  'textPointing',
  'textEnergy',
  'textIou',
] as const;

export type Measure = (typeof measures)[number];

/** A modality without ground truth. */
const unmarked = { pointing: Number.NaN, energy: Number.NaN, iou: Number.NaN };

export function rowMeasures({
  steps,
  synergy,
  image,
  text,
  plausibility,
}: MeasuredRecord): Record<Measure, number> {
  const marked = { image: plausibility?.image ?? unmarked, text: plausibility?.text ?? unmarked };
  return {
    raw: synergy.raw.mean,
    rawInsertion: synergy.raw.insertion,
    rawDeletion: synergy.raw.deletion,
    rawOpen: openMean(steps, synergy),
    normalised: synergy.normalised.mean,
    clipped: synergy.clipped.mean,
    imageSrg: image.srg,
    textSrg: text.srg,
    normalisedImageSrg: image.normalisedSrg,
    normalisedTextSrg: text.normalisedSrg,
    imagePointing: marked.image.pointing,
    imageEnergy: marked.image.energy,
    imageIou: marked.image.iou,
    textPointing: marked.text.pointing,
    textEnergy: marked.text.energy,
    textIou: marked.text.iou,
  };
}

/**
 * A bound on |f - z| that says of this row what the run's floor says: the floor itself where it was taken.
 */
export function floorOf(record: MeasuredRecord): number {
  const scale = normalisingScale(record);
  const way = Math.abs(record.corners.full - record.corners.empty);
  return way < scale * (1 - 1e-9) ? scale : Math.min(way, scale);
}

/**
 * The row's max(|f - z|, floor), read back from the larger of its two areas, so that no setting has to be
 * known.
 */
export function normalisingScale({ synergy, corners }: MeasuredRecord): number {
  const { raw, normalised } = synergy;
  const part = Math.abs(raw.insertion) >= Math.abs(raw.deletion) ? 'insertion' : 'deletion';
  if (normalised[part] !== 0) return raw[part] / normalised[part];
  // Both areas are zero: the default floor keeps the denominator of a flat game away from zero.
  return Math.max(Math.abs(corners.full - corners.empty), 0.05);
}
