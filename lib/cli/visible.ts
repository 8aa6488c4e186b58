/** The colours that fsyn itself prints behind words (report/explanation.ts). */
const ownColours = '\\x1b\\[(?:30;48;2;\\d{1,3};\\d{1,3};\\d{1,3}|0)m';

const control = new RegExp(
  `(${ownColours})|[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]`,
  'g',
);

/**
 * Text as it may go to a terminal: control characters of names and files, which could move the cursor, rename the window
 * or turn the writing around, are shown by their numbers (`\x1b`). Line ends, tabs and fsyn's own colours stay.
 */
export function visible(text: string): string {
  return text.replace(control, (found, own: string | undefined) => {
    if (own !== undefined) return own;
    const code = found.charCodeAt(0).toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code}`;
  });
}
