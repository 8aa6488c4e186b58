import { selectsRows } from './pass-memory.js';
import type { EvaluationPlan } from './plan.js';
import type { EvaluatorProgram } from './program.js';

/** Adds up the suffixes of a schedule, run by run. */
export class SuffixWork {
  flops = 0;
  readonly #total = { runs: 0, tokens: 0, padding: 0, withRemoved: 0 };
  readonly #program: EvaluatorProgram;
  readonly #prefixLength: number;

  constructor(program: EvaluatorProgram, prefixLength: number) {
    this.#program = program;
    this.#prefixLength = prefixLength;
  }

  get total(): EvaluationPlan['suffixWork'] {
    return this.#total;
  }

  /** @param lengths own tokens of the sequences of one run, longest first */
  add(lengths: readonly number[]): void {
    const { tokenIds, targets } = this.#program;
    const [longest] = lengths as [number];
    const tokens = lengths.length * longest;
    this.#total.runs++;
    this.#total.tokens += tokens;
    this.#total.padding += lengths.reduce((padding, length) => padding - length, tokens);
    this.#total.withRemoved += lengths.length * (tokenIds.length - this.#prefixLength);
    this.flops += lengths.length * passFlops(this.#program, this.#prefixLength, longest, targets.length);
  }
}

/**
 * Operations of one sequence of `tokens` after `past` cached ones; 0 where the model's costs are not known.
 */
function passFlops(
  { costs, wiring }: EvaluatorProgram,
  past: number,
  tokens: number,
  wantedRows: number,
): number {
  if (costs === undefined) return 0;
  const rows = selectsRows(wiring) ? wantedRows : tokens;
  return (
    tokens * costs.tokenFlops +
    rows * costs.headFlops +
    attendedPairs(past, tokens) * costs.attentionFlops +
    rows * (past + tokens) * costs.rowAttentionFlops
  );
}

export function estimateFlops(
  program: EvaluatorProgram,
  prefixLength: number,
  states: number,
  cells: number,
  suffix: number,
): EvaluationPlan['flops'] {
  const { costs, tokenIds } = program;
  if (costs === undefined) return undefined;
  const vision = states * costs.visionFlops;
  const prefix = prefixLength > 0 ? states * passFlops(program, 0, prefixLength, 1) : 0;
  const full = passFlops(program, 0, tokenIds.length, tokenIds.length);
  return {
    vision,
    prefix,
    suffix,
    total: vision + prefix + suffix,
    unshared: vision + cells * full,
    naive: cells * (costs.visionFlops + full),
  };
}

/** Exports compute the full rectangle of scores and mask the future afterwards. */
function attendedPairs(past: number, tokens: number): number {
  return tokens * (past + tokens);
}
