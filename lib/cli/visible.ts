/** The colours that fsyn itself prints behind words (report/explanation.ts). */
const ownColours = '\\x1b\\[(?:30;48;2;\\d{1,3};\\d{1,3};\\d{1,3}|0)m';

const control = new RegExp(
  `(${ownColours})|\\r(?!\\n)|[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]`,
  'g',
);

/**
 * Text as it may go to a terminal: control characters of names and files, which could move the cursor, rename
 * the window or turn the writing around, are shown by their numbers (`\u001b`). Line ends, tabs and fsyn's
 * own colours stay.
 */
export function visible(text: string): string {
  return text.replace(control, (found, own: string | undefined) => {
    if (own !== undefined) return own;
    // As JSON writes it, so that printed JSON stays what it is.
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
