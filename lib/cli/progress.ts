import { createLogUpdate } from 'log-update';
import stringWidth from 'string-width';
import { visible } from './visible.js';

/** Where progress is shown. */
export interface ProgressTarget {
  readonly log: (text: string) => void;
  /** As `log`, for text that moves the cursor; without it `log` is taken. */
  readonly raw?: (text: string) => void;
  /** Whether a line may be rewritten in place. */
  readonly interactive: boolean;
  /** Columns of the terminal; read at every update, because windows are resized. */
  readonly columns?: () => number;
}

/** Shows how far long work is: one rewritten line on a terminal, a plain line now and then elsewhere. */
export class ProgressLine {
  readonly #target: ProgressTarget;
  readonly #now: () => number;
  readonly #start: number;
  readonly #update: ReturnType<typeof createLogUpdate>;
  #lastShown = Number.NEGATIVE_INFINITY;
  #open = false;

  /** @param now clock in milliseconds */
  constructor(target: ProgressTarget, now: () => number = () => performance.now()) {
    this.#target = target;
    this.#now = now;
    this.#start = now();
    this.#update = createLogUpdate(terminalOf(target), { showCursor: true });
  }

  /**
   * @param label what is being done; @param skipped units that were there already and say nothing about the
   * rate
   */
  update(done: number, total: number, label: string, skipped = 0): void {
    const now = this.#now();
    const last = done >= total;
    // Ten lines a second are plenty for eyes; a log wants one every ten seconds.
    if (!last && now - this.#lastShown < (this.#target.interactive ? 100 : 10_000)) return;
    this.#lastShown = now;
    const seconds = (now - this.#start) / 1000;
    const rate = (done - skipped) / Math.max(seconds, 1e-9);
    const remaining = rate > 0 ? duration((total - done) / rate) : '?';
    const count = `${done}/${total} `;
    const speed = `  ${rate.toFixed(rate < 10 ? 2 : 0)}/s  ${last ? `took ${duration(seconds)}` : `${remaining} left`}`;
    if (!this.#target.interactive) this.#target.log(`${count}${label}${speed}\n`);
    else {
      this.#show(done / Math.max(total, 1), count, label, speed);
      if (last) this.end();
    }
  }

  /** Says what is being done where there is no count. */
  say(text: string): void {
    if (!this.#target.interactive) return;
    this.#open = true;
    this.#update(cut(visible(text), columnsOf(this.#target) - 1));
  }

  /** Leaves the terminal on a fresh line when the work stops early. */
  end(): void {
    if (this.#open) this.#update.done();
    this.#open = false;
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#open) this.#update.clear();
    this.end();
  }

  /**
   * The bar takes what the words leave, the label gives way first; the last column stays free, where
   * terminals wrap.
   */
  #show(fraction: number, count: string, label: string, speed: string): void {
    const room = columnsOf(this.#target) - 1 - stringWidth(count + speed);
    const words = count + cut(visible(label), room) + speed;
    const width = Math.min(24, columnsOf(this.#target) - 1 - stringWidth(words) - 3);
    this.#open = true;
    this.#update(width < 6 ? words : `${bar(fraction, width)} ${words}`);
  }
}

function columnsOf({ columns }: ProgressTarget): number {
  return Math.max(20, columns?.() ?? 80);
}

/** As much of a text as fits into so many columns, with three dots where something is missing. */
function cut(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  const characters = [...text];
  while (characters.length > 0 && stringWidth(characters.join('')) > columns - 3) characters.pop();
  return columns < 3 ? '' : `${characters.join('')}...`;
}

function bar(fraction: number, width: number): string {
  const full = Math.round(width * Math.min(fraction, 1));
  return `[${'#'.repeat(full)}${'.'.repeat(width - full)}]`;
}

/** What log-update needs of a stream. */
function terminalOf(target: ProgressTarget): NodeJS.WriteStream {
  const stream = {
    isTTY: true,
    get columns() {
      return columnsOf(target);
    },
    rows: 24,
    write: (text: string) => (target.raw ?? target.log)(text),
  };
  return stream as unknown as NodeJS.WriteStream;
}

/** Seconds as people say them: `42 s`, `3 min 05 s`, `2 h 07 min`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}
