// Keeps comments as narrow as the code, which formatters leave alone: `node tools/comments.mjs [--write]
// [FILE...]`. Prints comment lines that are too wide, or wraps the paragraphs that they stand in.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const WIDTH = 110;
const args = process.argv.slice(2);
const write = args.includes('--write');
const named = args.filter((arg) => arg !== '--write');
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { encoding: 'utf8' }).split(
  '\n',
);
const files = (named.length > 0 ? named : tracked).filter(
  (file) => /\.(ts|mjs|cpp|hpp|h|inc|cu|cuh)$/.test(file) && existsSync(file),
);

/** A line that is nothing but comment: what stands before its text, and the text. */
function commentOf(line, inside) {
  const match = inside
    ? /^(\s*\* ?)(?!\/)(.*)$/.exec(line)
    : (/^(\s*\/\/[/!]? ?)(.*)$/.exec(line) ?? /^(\s*\/\*\*? )(.*)$/.exec(line));
  return match && { lead: match[1], text: match[2] };
}

/**
 * Texts that begin something of their own: a tag, an item of a list, a row of a table, code, a line that is
 * set in.
 */
const begins = (text) => /^(@|[-*] |\d+\. |\|.*\|$|```|\s|$)/.test(text);

/** Words of a text; code in backquotes is one. */
const wordsOf = (text) => text.match(/(?:[^\s`]|`[^`]{1,80}`)+|\S+/g) ?? [];

/** Fills lines with the words of a paragraph; a tag's later lines are set in. */
function filled(words, lead, next) {
  const lines = [lead + words[0]];
  for (const word of words.slice(1)) {
    const longer = `${lines.at(-1)} ${word}`;
    if (longer.length <= WIDTH) lines[lines.length - 1] = longer;
    else lines.push(next + word);
  }
  return lines;
}

/** The lines of a file with every too wide paragraph of its comments wrapped again. */
function wrapped(lines) {
  const result = [];
  let inside = false;
  let code = false;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    const comment = commentOf(line, inside);
    const opens = !inside && /^\s*\/\*/.test(line) && !line.includes('*/');
    if (inside && line.includes('*/')) inside = false;
    if (opens) inside = true;
    if (comment && /```/.test(comment.text)) code = !code;
    if (!comment || code || line.length <= WIDTH || /```|^\|.*\|$/.test(comment.text)) {
      result.push(line);
      continue;
    }
    const single = /^\s*\/\*\*? .*\*\/\s*$/.test(line);
    if (single) {
      const indent = /^\s*/.exec(line)[0];
      const text = comment.text.replace(/\s*\*\/\s*$/, '');
      const middle = filled(wordsOf(text), `${indent} * `, `${indent} * `);
      result.push(`${indent}${line.trimStart().startsWith('/**') ? '/**' : '/*'}`, ...middle, `${indent} */`);
      continue;
    }
    // The paragraph is this line and those behind it that go on with it; the lines before it fit.
    const texts = [comment.text.trim()];
    const inset = /^\s*/.exec(comment.text)[0];
    while (at + 1 < lines.length) {
      const following = lines[at + 1];
      const more = commentOf(following, inside || opens);
      const tag = /^@/.test(comment.text) || inset !== '';
      const text = more && (tag ? more.text.replace(/^ {2}(?=\S)/, '') : more.text);
      if (!more || begins(text) || following.includes('*/')) break;
      if (more.lead.trim() !== comment.lead.trim() && !opens) break;
      texts.push(text.trim());
      at++;
    }
    const lead = comment.lead + inset;
    const next = opens ? comment.lead.replace(/\/\*\*? /, ' * ') : comment.lead;
    const hanging = /^(@|[-*] |\d+\. )/.test(comment.text) ? `${next}  ` : next + inset;
    result.push(...filled(wordsOf(texts.join(' ')), lead, hanging));
  }
  return result;
}

let wide = 0;
for (const file of files) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const better = write ? wrapped(lines) : lines;
  if (write && better.join('\n') !== lines.join('\n')) writeFileSync(file, better.join('\n'));
  let inside = false;
  for (const [i, line] of better.entries()) {
    const comment = commentOf(line, inside);
    if (!inside && /^\s*\/\*/.test(line) && !line.includes('*/')) inside = true;
    else if (line.includes('*/')) inside = false;
    // A word that is wider than a line (an address) is nobody's fault.
    if (!comment || line.length <= WIDTH || !comment.text.trim().includes(' ')) continue;
    wide++;
    console.log(`${file}:${i + 1}: a comment of ${line.length} columns, more than ${WIDTH}`);
  }
}
console.log(`comments: ${files.length} files, ${wide} lines too wide`);
if (wide > 0) process.exit(1);
