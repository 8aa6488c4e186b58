/** Shows how far long work is: one rewritten line on a terminal, a plain line now and then elsewhere. */
export class ProgressLine {
  readonly #write: (text: string) => void;
  readonly #interactive: boolean;
  readonly #now: () => number;
  readonly #start: number;
  #first: number | null = null;
  #lastShown = Number.NEGATIVE_INFINITY;

  /**
   * @param write receives text, with its own line ends
   * @param interactive whether a line may be rewritten in place
   * @param now clock in milliseconds
   */
  constructor(
    write: (text: string) => void,
    interactive: boolean,
    now: () => number = () => performance.now(),
  ) {
    this.#write = write;
    this.#interactive = interactive;
    this.#now = now;
    this.#start = now();
  }

  /**
   * @param label what is being done; @param skipped units that were there already and say nothing about the
   * rate
   */
  update(done: number, total: number, label: string, skipped = 0): void {
    const now = this.#now();
    this.#first ??= now;
    const last = done >= total;
    // Ten lines a second are plenty for eyes; a log wants one every ten seconds.
    if (!last && now - this.#lastShown < (this.#interactive ? 100 : 10_000)) return;
    this.#lastShown = now;
    const seconds = (now - this.#start) / 1000;
    const rate = (done - skipped) / Math.max(seconds, 1e-9);
    const remaining = rate > 0 ? duration((total - done) / rate) : '?';
    const text = `${done}/${total} ${label}  ${rate.toFixed(rate < 10 ? 2 : 0)}/s  ${last ? `took ${duration(seconds)}` : `${remaining} left`}`;
    if (!this.#interactive) this.#write(`${text}\n`);
    else this.#write(`\r\x1b[K${bar(done / Math.max(total, 1))} ${text}${last ? '\n' : ''}`);
  }

  /** Leaves the terminal on a fresh line when the work stops early. */
  end(): void {
    if (this.#interactive && this.#lastShown > Number.NEGATIVE_INFINITY) this.#write('\n');
  }
}

function bar(fraction: number): string {
  const width = 24;
  const full = Math.round(width * Math.min(fraction, 1));
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}

/** Seconds as people say them: `42 s`, `3 min 05 s`, `2 h 07 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}
