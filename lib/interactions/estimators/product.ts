import { FsynError, invalidArgument } from '../../errors.js';
import { Random } from '../../statistics/random.js';
import { CoalitionBatch } from '../coalitions.js';
import type { InteractionSet } from '../interaction-set.js';
import type { Evaluator } from './evaluator.js';
import type { Estimate } from './moments.js';
import { type PseudoInverse, pseudoInverse } from './pseudo-inverse.js';
import { productLeast } from './requirements.js';
import { inUnit } from './unit.js';

/** Nodes and weights of Gauss-Legendre quadrature on 0..1, by Newton's method on the Legendre polynomial. */
export function gaussLegendre(count: number): { node: number; weight: number }[] {
  return Array.from({ length: count }, (_, k) => {
    let x = Math.cos((Math.PI * (k + 0.75)) / (count + 0.5));
    let slope = 1;
    for (let step = 0; step < 100; step++) {
      let [before, value] = [0, 1];
      for (let m = 1; m <= count; m++)
        [before, value] = [value, ((2 * m - 1) * x * value - (m - 1) * before) / m];
      slope = (count * (x * value - before)) / (x * x - 1);
      const change = value / slope;
      x -= change;
      if (Math.abs(change) < 1e-16) break;
    }
    return { node: (1 - x) / 2, weight: 1 / ((1 - x * x) * slope * slope) };
  });
}

/** A modality's states with the least squares that read them. */
interface States {
  readonly players: readonly number[];
  readonly rows: readonly Uint8Array[];
  readonly inverse: PseudoInverse;
  /** Rows drawn together: 2 for complementary pairs, else 1. */
  readonly together: number;
}

/**
 * Cross-modal pairs from crossed designs: a few image states times a few text states, so that a model encodes
 * each image state once (the design of FIxLIP, Baniecki et al. 2025, there for the Banzhaf index only).
 *
 * At inclusion probability q the least squares over all players and pairs factorises into A+ Y C+', one small
 * inverse per modality. Its limit is the weighted Banzhaf index at q, whose mean over q in 0..1 is SII;
 * `nodes` Gauss-Legendre values of q integrate it exactly for dividends up to order 2 nodes + 1.
 *
 * The standard error is infinite where a node has so few states that one of them decides a coefficient alone.
 *
 * @throws FsynError BUDGET when there are not more states than players of each modality at every node
 */
export async function productEstimate(
  evaluator: Evaluator,
  set: InteractionSet,
  nodes: readonly { node: number; weight: number }[],
  budget: number,
  seed: number,
): Promise<Estimate & { readonly baseline: number }> {
  const sides = set.sides;
  if (!sides || set.maxOrder !== 2)
    throw invalidArgument('pairs', 'both modalities and order 2 for the product design', sides);
  const image = playersOf(sides, 1);
  const text = playersOf(sides, 2);
  if (image.length + text.length !== set.players) {
    throw invalidArgument('pairs', 'every player to have a modality for the product design', set.players);
  }
  const shape = designShape(Math.floor((budget - 1) / nodes.length), image.length, text.length, nodes.length);
  const random = new Random(seed);
  const stride = Math.ceil(set.players / 32);
  const designs = nodes.map(({ node, weight }) => {
    const states = [
      drawStates(image, shape.image, node, random),
      drawStates(text, shape.text, node, random),
    ] as const;
    return { weight, states, words: crossed(set.players, ...states) };
  });
  // The empty coalition, then every node's.
  const words = new Uint32Array(designs.reduce((sum, design) => sum + design.words.length, stride));
  let end = stride;
  for (const design of designs) {
    words.set(design.words, end);
    end += design.words.length;
  }
  const answers = await evaluator.values(new CoalitionBatch(set.players, words));
  const found = await inUnit(answers, (y) => readDesigns(y, designs, stride, image, text, set));
  return { ...found, baseline: answers[0] };
}

interface Design {
  readonly weight: number;
  readonly states: readonly [States, States];
  readonly words: Uint32Array;
}

function readDesigns(
  answers: Float64Array,
  designs: readonly Design[],
  stride: number,
  image: readonly number[],
  text: readonly number[],
  set: InteractionSet,
): Estimate {
  const values = new Float64Array(set.length);
  const variances = new Float64Array(set.length);
  let begin = 1;
  for (const { weight, states, words } of designs) {
    const end = begin + words.length / stride;
    const block = readBlock(answers.subarray(begin, end), ...states);
    begin = end;
    for (let i = 0; i < image.length; i++) {
      for (let j = 0; j < text.length; j++) {
        const position = set.position(image[i] < text[j] ? [image[i], text[j]] : [text[j], image[i]]);
        values[position] += weight * block.values[i * text.length + j];
        variances[position] += weight * weight * block.variances[i * text.length + j];
      }
    }
  }
  return { values, standardErrors: variances.map(Math.sqrt) };
}

function playersOf(sides: Uint8Array, side: number): number[] {
  return Array.from(sides.keys()).filter((player) => sides[player] === side);
}

/**
 * How many states of each modality a node gets: in proportion to the square root of the players, above what
 * rank needs.
 */
function designShape(
  cells: number,
  image: number,
  text: number,
  nodes: number,
): { image: number; text: number } {
  const leastImage = image + 2;
  const leastText = text + 2;
  if (cells < leastImage * leastText) {
    throw new FsynError(
      'BUDGET',
      `The product design needs at least ${productLeast(image, text, nodes)} evaluations for ${image} image and ${text} text players at ${nodes} node(s).`,
    );
  }
  const balanced = Math.round(Math.sqrt((cells * text) / image));
  const textStates = Math.min(Math.max(balanced, leastText), Math.floor(cells / leastImage));
  return { image: Math.floor(cells / textStates), text: textStates };
}

/** A state that decides a coefficient alone has no error of its own; drawn again while that happens. */
const LARGEST_LEVERAGE = 0.98;

/** Independent Bernoulli(q) states, at q = 1/2 in complementary pairs where there are enough of them. */
function drawStates(players: readonly number[], count: number, q: number, random: Random): States {
  const width = players.length;
  const complements = q === 0.5 && count >= 2 * (width + 2);
  const together = complements ? 2 : 1;
  let fallback: States | null = null;
  for (let attempt = 0; attempt < 200; attempt++) {
    const rows: Uint8Array[] = [];
    while (rows.length < count) {
      const row = Uint8Array.from({ length: width }, () => (random.uniform() < q ? 1 : 0));
      rows.push(row);
      if (complements && rows.length < count) rows.push(row.map((x) => 1 - x));
    }
    const inverse = pseudoInverse(rows);
    if (!inverse) continue;
    if (Math.max(...inverse.leverage) < LARGEST_LEVERAGE) return { players, rows, inverse, together };
    fallback ??= { players, rows, inverse, together };
  }
  if (fallback) return fallback;
  throw new FsynError(
    'RANK_DEFICIENT',
    `${count} states of ${width} players at inclusion probability ${q} never had full rank; raise the budget.`,
  );
}

function crossed(players: number, image: States, text: States): Uint32Array {
  const stride = Math.ceil(players / 32);
  const words = new Uint32Array(image.rows.length * text.rows.length * stride);
  let at = 0;
  for (const a of image.rows) {
    for (const b of text.rows) {
      mark(words, at, image.players, a);
      mark(words, at, text.players, b);
      at += stride;
    }
  }
  return words;
}

function mark(words: Uint32Array, at: number, players: readonly number[], row: Uint8Array): void {
  for (const [k, player] of players.entries()) if (row[k]) words[at + (player >>> 5)] |= 1 << (player & 31);
}

/**
 * A+ Y C+' without its intercepts, and its variances: those of the image states plus those of the text
 * states.
 */
function readBlock(
  y: Float64Array,
  image: States,
  text: States,
): { values: Float64Array; variances: Float64Array } {
  const [rows, columns] = [image.rows.length, text.rows.length];
  // Y C+' by image state, A+ Y by text state.
  const byImage = text.inverse.rows.slice(1).map((inverse) =>
    Float64Array.from({ length: rows }, (_, r) => {
      let sum = 0;
      for (let c = 0; c < columns; c++) sum += inverse[c] * y[r * columns + c];
      return sum;
    }),
  );
  const byText = image.inverse.rows.slice(1).map((inverse) =>
    Float64Array.from({ length: columns }, (_, c) => {
      let sum = 0;
      for (let r = 0; r < rows; r++) sum += inverse[r] * y[r * columns + c];
      return sum;
    }),
  );
  const imageFits = byImage.map((z) => regress(z, image));
  const textFits = byText.map((z) => regress(z, text));
  const width = text.players.length;
  const values = new Float64Array(image.players.length * width);
  const variances = new Float64Array(values.length);
  for (let i = 0; i < image.players.length; i++) {
    for (let j = 0; j < width; j++) {
      values[i * width + j] = imageFits[j].values[i];
      variances[i * width + j] = imageFits[j].variances[i] + textFits[i].variances[j];
    }
  }
  return { values, variances };
}

/**
 * Coefficients of a response on the states, with HC2 variances (MacKinnon & White 1985): states are few, and
 * the more cautious HC3 would claim several times the error.
 */
function regress(
  z: Float64Array,
  { rows, inverse, together }: States,
): { values: Float64Array; variances: Float64Array } {
  const coefficients = inverse.rows.map((row) => row.reduce((sum, x, i) => sum + x * z[i], 0));
  const scaled = z.map((value, i) => {
    let fitted = coefficients[0];
    for (let k = 0; k < rows[i].length; k++) if (rows[i][k]) fitted += coefficients[k + 1];
    const spare = 1 - inverse.leverage[i];
    return spare > 1e-9 ? (value - fitted) / Math.sqrt(spare) : Number.POSITIVE_INFINITY;
  });
  const variances = inverse.rows.map((row) => {
    let variance = 0;
    for (let i = 0; i < row.length; i += together) {
      let moved = 0;
      for (let k = i; k < Math.min(i + together, row.length); k++) {
        if (Math.abs(row[k]) > 1e-12) moved += row[k] * scaled[k];
      }
      variance += moved * moved;
    }
    return variance;
  });
  return {
    values: Float64Array.from(coefficients.slice(1)),
    variances: Float64Array.from(variances.slice(1)),
  };
}
