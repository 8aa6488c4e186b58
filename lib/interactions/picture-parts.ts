import { escapeHtml } from '../html-text.js';
import { type Interaction, interactionLabel, shortNumber } from './interaction.js';

/** A drawing and the room it takes, in pixels. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly marks: readonly string[];
  /** Lines under the drawing. */
  readonly notes: readonly string[];
}

/** Pixels of an average letter of 12 px. */
const LETTER = 6.6;
const LONGEST_LABEL = 24;
/** A letter of the title over one of a label. */
const BOLD = 1.4;
const LEAST_WIDTH = 420;
const EDGE = 16;
const LINE = 18;

/** Text that XML can hold. */
export function safe(text: string): string {
  // Control characters are not allowed in XML, not even escaped; lone surrogates are no characters.
  const clean = Array.from(text, (c) => {
    const code = c.codePointAt(0)!;
    const forbidden =
      (code < 32 && !'\t\n\r'.includes(c)) || (code >= 0xd800 && code < 0xe000) || code > 0x10fffd;
    return forbidden || code === 0xfffe || code === 0xffff ? '\ufffd' : c;
  });
  return escapeHtml(clean.join(''));
}

/** A label that fits beside a drawing. */
export function shortLabel(label: string): string {
  const letters = Array.from(label);
  return letters.length <= LONGEST_LABEL ? label : `${letters.slice(0, LONGEST_LABEL - 1).join('')}\u2026`;
}

/** About how wide a label is, in pixels: letters of East Asian scripts are twice as wide. */
export function labelWidth(label: string): number {
  return Array.from(label).reduce((sum, c) => sum + (c.codePointAt(0)! > 0x2e80 ? 2 : 1) * LETTER, 0);
}

/** What is shown under the pointer. */
export function tooltip(interaction: Interaction): string {
  const { value, standardError } = interaction;
  const error = standardError === undefined ? '' : `, standard error ${shortNumber(standardError)}`;
  return `<title>${safe(`${interactionLabel(interaction)}: ${shortNumber(value)}${error}`)}</title>`;
}

/** True for estimates that may well be 0. */
export function isUncertain({ value, standardError }: Interaction): boolean {
  return standardError !== undefined && Math.abs(value) < 2 * standardError;
}

export function signClass(value: number): string {
  return value >= 0 ? 'fsyn-more' : 'fsyn-less';
}

/** 0..1, or 0 where all values are 0. */
export function strength(value: number, largest: number): number {
  return largest > 0 ? Math.abs(value) / largest : 0;
}

/** Words in lines that are about so wide; a longer word has a line of its own. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && labelWidth(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** A document around a drawing: title above, notes below. */
export function frame({ width, height, marks, notes }: Drawing, title: string): string {
  const wide = Math.ceil(Math.max(width, LEAST_WIDTH));
  const [titles, remarks] = [
    wrapped(title, (wide - 2 * EDGE) / BOLD),
    notes.flatMap((note) => wrapped(note, wide - 2 * EDGE)),
  ];
  const top = 24 + LINE * titles.length;
  const tall = Math.ceil(top + height + LINE * remarks.length + EDGE);
  const text = (lines: readonly string[], first: number, name: string) =>
    lines
      .map((line, i) => `<text x="${EDGE}" y="${at(first + LINE * i)}" class="${name}">${safe(line)}</text>`)
      .join('\n');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${wide}" height="${tall}" viewBox="0 0 ${wide} ${tall}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${safe(title)}">
<style>
.fsyn-page { fill: #ffffff } .fsyn-text { fill: #24292f } .fsyn-title { fill: #24292f; font-size: 14px; font-weight: 600 }
.fsyn-note { fill: #57606a } .fsyn-rim { stroke: #8c959f; fill: none } .fsyn-none { fill: #d0d7de }
.fsyn-more { fill: #d62728; stroke: #d62728 } .fsyn-less { fill: #1f77b4; stroke: #1f77b4 } .fsyn-line { fill: none }
.fsyn-cross { stroke: #24292f; stroke-opacity: 0.55 }
@media (prefers-color-scheme: dark) {
.fsyn-page { fill: #0d1117 } .fsyn-text, .fsyn-title { fill: #e6edf3 } .fsyn-note { fill: #9198a1 } .fsyn-none { fill: #30363d }
.fsyn-more { fill: #ff6b61; stroke: #ff6b61 } .fsyn-less { fill: #58a6ff; stroke: #58a6ff } .fsyn-line { fill: none }
.fsyn-cross { stroke: #e6edf3 }
}
</style>
<rect width="${wide}" height="${tall}" class="fsyn-page"/>
${text(titles, 28, 'fsyn-title')}
<g transform="translate(0 ${top})">
${marks.join('\n')}
</g>
${text(remarks, top + height + LINE, 'fsyn-note')}
</svg>
`;
}

/** Coordinates without the digits that nobody sees. */
export function at(value: number): string {
  return String(Number(value.toFixed(1)));
}
