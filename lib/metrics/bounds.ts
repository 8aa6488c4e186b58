import type { CellScores } from '../cells/scores.js';
import { cellBounds, cellValues, type Scoring } from '../cells/values.js';
import type { PerturbationRequest } from './perturbation.js';
import { stepWeights } from './steps.js';
import type { SynergyRequest } from './synergy.js';

/** Both ends of a number that is known within bounds. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/**
 * What is not known of an attribution's scores: cells within bounds, and noise of the server.
 *
 * F_syn is a linear form of the values of cells, sum over cells of c_i v_i: its ends are sum of c_i times the
 * high end of v_i where c_i > 0 and the low end where c_i < 0, which is exact. Noise of standard deviation s
 * on every log-probability moves a probability by s v_i, so that F_syn has the standard error
 * s sqrt(sum of (c_i v_i)^2), for cells whose noise is independent.
 */
export interface ValueBounds {
  /** Cells of this attribution's metrics that are known within bounds, of how many. */
  readonly bounded: number;
  readonly cells: number;
  /** Ends of raw F_syn and of the relevance gains, noise aside. */
  readonly insertion: Range;
  readonly deletion: Range;
  readonly mean: Range;
  readonly imageSrg: Range;
  readonly textSrg: Range;
  /** Standard deviation of a log-probability in nats; 0 where repetitions are equal. */
  readonly noise: number;
  /** Standard error of the mean of raw F_syn from that noise. */
  readonly standardError: number;
}

/** Coefficient of every cell of a linear form of values. */
type Form = ReadonlyMap<number, number>;

interface Requests {
  readonly image: PerturbationRequest;
  readonly text: PerturbationRequest;
  readonly synergy: SynergyRequest;
}

/** The bounds of one attribution's scores; null where all its cells are known and none is noisy. */
export function boundsOf(requests: Requests, scores: CellScores, scoring: Scoring): ValueBounds | null {
  const { noise = 0 } = scores;
  if (scores.similarities !== undefined || (scores.bounds === undefined && noise === 0)) return null;
  const values = cellValues(scores, scoring);
  const { low, high } = cellBounds(scores, scoring) ?? { low: values, high: values };
  const range = (form: Form): Range => {
    const ends = { low: 0, high: 0 };
    for (const [cell, weight] of form) {
      ends.low += weight * (weight > 0 ? low : high)[cell];
      ends.high += weight * (weight > 0 ? high : low)[cell];
    }
    return ends;
  };
  const { image, text, synergy } = requests;
  const insertion = dividendForm(synergy.steps, synergy.insertion, synergy.empty);
  const deletion = dividendForm(synergy.steps, synergy.deletion, synergy.full);
  const mean = sumOf([insertion, 0.5], [deletion, 0.5]);
  const [imageGain, textGain] = [gainForm(image), gainForm(text)];
  const wanted = new Set([insertion, deletion, imageGain, textGain].flatMap((form) => [...form.keys()]));
  const bounded = [...wanted].filter((cell) => low[cell] !== high[cell]).length;
  if (bounded === 0 && noise === 0) return null;
  // Of a probability a log-probability's noise moves its own share; of a log-probability all of it.
  const moved = (cell: number) => (scoring === 'log-probability' ? 1 : high[cell]);
  const variance = Array.from(mean, ([cell, weight]) => (weight * moved(cell)) ** 2);
  return {
    bounded,
    cells: wanted.size,
    insertion: range(insertion),
    deletion: range(deletion),
    mean: range(mean),
    imageSrg: range(imageGain),
    textSrg: range(textGain),
    noise,
    standardError: noise * Math.sqrt(variance.reduce((sum, part) => sum + part, 0)),
  };
}

/** Area under v(joint) - v(image) - v(text) + v(corner). */
function dividendForm(steps: readonly number[], part: SynergyRequest['insertion'], corner: number): Form {
  const form = new Map<number, number>();
  for (const [i, weight] of stepWeights(steps).entries()) {
    add(form, part.joint[i], weight);
    add(form, part.image[i], -weight);
    add(form, part.text[i], -weight);
    add(form, corner, weight);
  }
  return form;
}

/** Area under insertion less area under deletion. */
function gainForm({ steps, insertion, deletion }: PerturbationRequest): Form {
  const form = new Map<number, number>();
  for (const [i, weight] of stepWeights(steps).entries()) {
    add(form, insertion[i], weight);
    add(form, deletion[i], -weight);
  }
  return form;
}

function sumOf(...parts: readonly (readonly [Form, number])[]): Form {
  const form = new Map<number, number>();
  for (const [part, factor] of parts) for (const [cell, weight] of part) add(form, cell, factor * weight);
  return form;
}

/** Cells that meet themselves with the other sign cancel: what is unknown of them moves nothing. */
function add(form: Map<number, number>, cell: number, weight: number): void {
  form.set(cell, (form.get(cell) ?? 0) + weight);
}
